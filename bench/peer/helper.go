package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"vswitch/bench/load"
	"vswitch/test/lab"
)

// maxArgument is how long a task may be to be an argument; the kernel takes 128 KiB
// (MAX_ARG_STRLEN, execve(2)).
const maxArgument = 64 << 10

// helperCommand is the command line of a helper with its task.
func (l *Lab) helperCommand(name string, task any) ([]string, error) {
	text, err := json.Marshal(task)
	if err != nil {
		return nil, err
	}
	argument := string(text)
	if len(text) > maxArgument {
		file, err := os.CreateTemp(l.dir, "task-*.json")
		if err != nil {
			return nil, err
		}
		_, err = file.Write(text)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		argument = load.TaskFile + file.Name()
	}
	return append(slices.Clone(l.self), name, argument), nil
}

// RunHelper runs the helper of package load with this name and task in a namespace to its
// end, and decodes its result into found.
func (l *Lab) RunHelper(ctx context.Context, namespace, name string, task, found any) error {
	argv, err := l.helperCommand(name, task)
	if err != nil {
		return err
	}
	out, err := l.Run(ctx, namespace, nil, argv...)
	if err != nil {
		return fmt.Errorf("helper %s: %w", name, err)
	}
	if err := json.Unmarshal(out, found); err != nil {
		return fmt.Errorf("helper %s: read what it found: %w", name, err)
	}
	return nil
}

// StartHelper starts the helper of package load with this name and task in a namespace, and
// returns when it is ready.
func (l *Lab) StartHelper(ctx context.Context, namespace, name string, task any) (*lab.Process, error) {
	argv, err := l.helperCommand(name, task)
	if err != nil {
		return nil, err
	}
	p, err := l.start(lab.ProcessConfig{
		Namespace: namespace, Argv: argv, Name: "helper " + name,
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.Await(ctx, 0, load.Ready); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}
