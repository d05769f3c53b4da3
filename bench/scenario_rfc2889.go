package bench

func rfc2889Scenarios() []scenario { return nil }
