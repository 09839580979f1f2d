package inbox

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"sluice/iot"
)

func put(b *Inbox, from, to int) {
	for i := from; i < to; i++ {
		b.Put(iot.Delivery{LockToken: fmt.Sprint(i)})
	}
}

func TestNothingIsHandedOverThatWasNotGranted(t *testing.T) {
	var got []string
	b := New(func(d iot.Delivery) { got = append(got, d.LockToken) })
	put(b, 0, 3)
	if len(got) != 0 || b.Waiting() != 3 || b.Wanted() != -3 {
		t.Errorf("%v came, %d wait, %d wanted", got, b.Waiting(), b.Wanted())
	}
	b.Grant(2)
	if !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("%v came", got)
	}
	b.Grant(5)
	if n := b.Revoke(); n != 4 || len(got) != 3 {
		t.Errorf("%d revoked, %v came", n, got)
	}
	put(b, 3, 5)
	if len(got) != 3 {
		t.Errorf("%v came after Revoke", got)
	}
	b.Close()
	b.Grant(1)
	if b.Put(iot.Delivery{}) || len(got) != 3 {
		t.Error("a closed inbox took or gave something")
	}
}

// A receiver may grant, revoke and close from within.
func TestAReceiverMayCallBack(t *testing.T) {
	var b *Inbox
	n := 0
	b = New(func(iot.Delivery) {
		switch n++; n {
		case 5:
			b.Revoke()
			b.Close()
		default:
			b.Grant(1)
		}
	})
	put(b, 0, 10)
	b.Grant(1)
	if n != 5 {
		t.Errorf("%d came", n)
	}
}

func TestDeliveriesKeepTheirOrderWhoeverGrants(t *testing.T) {
	const n = 1000
	var got []string
	b := New(func(d iot.Delivery) { got = append(got, d.LockToken) })
	var wg sync.WaitGroup
	wg.Go(func() { put(b, 0, n) })
	for range 4 {
		wg.Go(func() {
			for range n / 4 {
				b.Grant(1)
			}
		})
	}
	wg.Wait()
	if len(got) != n {
		t.Fatalf("%d came", len(got))
	}
	for i, token := range got {
		if token != fmt.Sprint(i) {
			t.Fatalf("%s came as the %dth", token, i)
		}
	}
}
