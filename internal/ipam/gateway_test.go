package ipam

import "testing"

func TestMoveGateway(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "", ""))
	lease(t, s, "10.0.0.3", "10.0.0.3")
	fails(t, s.MoveGateway(addr("10.0.0.3")), ErrInUse, "already in use")
	fails(t, s.MoveGateway(addr("10.0.0.7")), ErrInUse, "broadcast")
	fails(t, s.MoveGateway(addr("10.1.0.1")), ErrOutside)
	for range 2 {
		if err := s.MoveGateway(addr("10.0.0.6")); err != nil || s.Gateway() != addr("10.0.0.6") {
			t.Errorf("gateway %s, %v", s.Gateway(), err)
		}
	}
	lease(t, s, "", "10.0.0.1") // the one before, which the cursor has not met
	lease(t, s, "", "10.0.0.2")
	lease(t, s, "", "10.0.0.4")
	if err := s.MoveGateway(addr("10.0.0.5")); err != nil {
		t.Error(err)
	}
	lease(t, s, "", "10.0.0.6")
	if err := add(t, newAllocator(t), config("10.9.0.0/29", "10.9.0.1", "10.9.0.2/32")).MoveGateway(addr("10.9.0.2")); err == nil {
		t.Error("the gateway has taken the only address that can be leased")
	}
}

// An address behind the cursor would never be met again.
func TestAGatewayThatMovesAwayBehindTheCursorIsFree(t *testing.T) {
	t.Parallel()
	s := add(t, newAllocator(t), config("10.0.0.0/29", "10.0.0.2", ""))
	lease(t, s, "", "10.0.0.1")
	lease(t, s, "", "10.0.0.3")
	if err := s.MoveGateway(addr("10.0.0.6")); err != nil {
		t.Fatal(err)
	}
	lease(t, s, "", "10.0.0.4")
	lease(t, s, "", "10.0.0.5")
	lease(t, s, "", "10.0.0.2")
}
