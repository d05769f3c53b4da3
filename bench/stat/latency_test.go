package stat

import (
	"slices"
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	t.Parallel()
	times := make([]time.Duration, 1000)
	for i := range times {
		times[i] = time.Duration(1000-i) * time.Microsecond
	}
	l := NewLatencies(times, 1000)
	if l.Min != 1 || l.P50 != 500 || l.P90 != 900 || l.P99 != 990 || l.P999 != 999 ||
		l.Max != 1000 || !near(l.Avg, 500.5) || l.Loss() != 50 {
		t.Errorf("got %+v", l)
	}
	sample := Pool([][]float64{l.Quantiles, l.Quantiles})
	if len(sample) != SampleQuantiles || sample[0] != 1 || sample[200] != 1000 ||
		!slices.IsSorted(sample) || sample[100] < 499 || sample[100] > 502 {
		t.Errorf("sample %v", sample)
	}
	if none := NewLatencies(nil, 3); none.Loss() != 100 || none.Count != 0 || Pool(nil) != nil {
		t.Errorf("of nothing: %+v", none)
	}
}
