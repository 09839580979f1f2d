// Package method brings direct methods and those who answer them together. Hub
// and gateway share it.
//
// An identity that is connected and listens makes an [Offer]; [Desk.Invoke] finds
// it, or waits for it to come, and then for its answer. The times are IoT Hub's. What
// serves a client of a protocol keeps in [Calls] what the client has not answered.
package method

import (
	"context"
	"sync"
	"time"

	"sluice/iot"
)

// The times of a direct method.
const (
	DefaultResponseTimeout = 30 * time.Second
	MinResponseTimeout     = 5 * time.Second
	MaxTimeout             = 300 * time.Second
)

// A Desk knows who answers. Its zero value is ready; its methods may be called
// from any goroutine.
type Desk struct {
	mu     sync.Mutex
	offers map[iot.Identity]*Offer
	news   chan struct{} // closed at the next offer; nil while nobody waits
}

// An Offer is an identity's readiness to have methods called. It is a
// [iot.Subscription] whose deliveries are not counted.
type Offer struct {
	desk   *Desk
	id     iot.Identity
	answer func(iot.MethodCall, func(iot.MethodResult))
	gone   chan struct{} // closed when it ends
}

var _ iot.Subscription = (*Offer)(nil)

// Offer makes answer the one that is called for id, in the place of an earlier
// one. It must return soon; its second argument takes the answer, from any
// goroutine.
func (d *Desk) Offer(id iot.Identity, answer func(iot.MethodCall, func(iot.MethodResult))) *Offer {
	o := &Offer{desk: d, id: id, answer: answer, gone: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offers == nil {
		d.offers = map[iot.Identity]*Offer{}
	}
	if before := d.offers[id]; before != nil {
		close(before.gone)
	}
	d.offers[id] = o
	if d.news != nil {
		close(d.news)
		d.news = nil
	}
	return o
}

// Close ends the offer. Calls that wait for its answer fail.
func (o *Offer) Close() {
	d := o.desk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offers[o.id] == o {
		delete(d.offers, o.id)
		close(o.gone)
	}
}

// Grant does nothing: methods are not counted.
func (*Offer) Grant(int) {}

// Revoke does nothing: methods are not counted.
func (*Offer) Revoke() int { return 0 }

// Invoke calls a method of target and waits for the answer. The error is an
// [iot.Error]: Invalid for a call without a name or with times outside the
// limits; NotFound if target does not come within call.ConnectTimeout, or leaves;
// Timeout if it does not answer in time; else ctx's.
func (d *Desk) Invoke(ctx context.Context, target iot.Identity, call iot.MethodCall) (iot.MethodResult, error) {
	if err := check(target, &call); err != nil {
		return iot.MethodResult{}, err
	}
	o, err := d.find(ctx, target, call.ConnectTimeout)
	if err != nil {
		return iot.MethodResult{}, err
	}
	answer := make(chan iot.MethodResult, 1)
	o.answer(call, func(r iot.MethodResult) {
		select {
		case answer <- r:
		default: // answered twice: the first counts
		}
	})
	timeout := time.NewTimer(call.ResponseTimeout)
	defer timeout.Stop()
	select {
	case r := <-answer:
		return r, nil
	case <-timeout.C:
		return iot.MethodResult{}, iot.Errorf(iot.Timeout, "method", target, "timed out waiting for the response from device")
	case <-o.gone:
		return iot.MethodResult{}, iot.Errorf(iot.NotFound, "method", target, "it left before it answered")
	case <-ctx.Done():
		return iot.MethodResult{}, ctx.Err()
	}
}

func check(target iot.Identity, call *iot.MethodCall) error {
	if call.ResponseTimeout == 0 {
		call.ResponseTimeout = DefaultResponseTimeout
	}
	switch {
	case call.Name == "":
		return iot.Errorf(iot.Invalid, "method", target, "methodName is missing")
	case call.ResponseTimeout < MinResponseTimeout || call.ResponseTimeout > MaxTimeout:
		return iot.Errorf(iot.Invalid, "method", target, "responseTimeoutInSeconds must be 5 to 300")
	case call.ConnectTimeout < 0 || call.ConnectTimeout > MaxTimeout:
		return iot.Errorf(iot.Invalid, "method", target, "connectTimeoutInSeconds must be 0 to 300")
	}
	return nil
}

// find waits until target has an offer.
func (d *Desk) find(ctx context.Context, target iot.Identity, wait time.Duration) (*Offer, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		o, news := d.look(target)
		if o != nil {
			return o, nil
		}
		select {
		case <-news:
		case <-deadline.C:
			return nil, iot.Errorf(iot.NotFound, "method", target, "the operation failed because the requested device isn't online or hasn't registered the direct method callback")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (d *Desk) look(target iot.Identity) (*Offer, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.offers[target]; o != nil {
		return o, nil
	}
	if d.news == nil {
		d.news = make(chan struct{})
	}
	return nil, d.news
}

// Offered reports whether target answers methods now.
func (d *Desk) Offered(target iot.Identity) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.offers[target] != nil
}
