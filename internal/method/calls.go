package method

import (
	"encoding/json"
	"sync"
	"time"

	"sluice/iot"
)

const (
	// MaxCalls is how many calls of one client may wait for an answer.
	MaxCalls = 16_384
	// sweepInterval is how much longer than its timeout a call is remembered.
	sweepInterval = 5 * time.Second
)

// TooManyCalls is the answer to a call that would only wait behind others.
var TooManyCalls = iot.MethodResult{
	Status:  iot.Throttled.HTTPStatus(),
	Payload: json.RawMessage(`{"message":"the client has too many calls to answer"}`),
}

// Calls are those that a client has been told of and has not answered, by the ids that
// its answers carry. The zero value has none; any goroutine may use it.
type Calls struct {
	mu     sync.Mutex
	byID   map[string]waiting
	sweep  *time.Timer // forgets calls that were not answered; nil if there are none
	closed bool
}

type waiting struct {
	reply func(iot.MethodResult)
	until time.Time
}

// Add remembers a call until its timeout. It does not, and returns false, when [MaxCalls]
// wait, and after Close.
func (c *Calls) Add(id string, call iot.MethodCall, reply func(iot.MethodResult)) bool {
	timeout := call.ResponseTimeout
	if timeout == 0 {
		timeout = DefaultResponseTimeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.byID) >= MaxCalls {
		return false
	}
	if c.byID == nil {
		c.byID = make(map[string]waiting)
	}
	c.byID[id] = waiting{reply, time.Now().Add(timeout)}
	if c.sweep == nil {
		c.sweep = time.AfterFunc(timeout+sweepInterval, c.forget)
	}
	return true
}

// forget drops the calls whose time is over: the hub has answered them.
func (c *Calls) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for id, call := range c.byID {
		if now.After(call.until) {
			delete(c.byID, id)
		}
	}
	c.sweep = nil
	if len(c.byID) > 0 {
		c.sweep = time.AfterFunc(sweepInterval, c.forget)
	}
}

// Answer passes the answer to a call on. Unknown, late and repeated ones are ignored.
func (c *Calls) Answer(id string, result iot.MethodResult) {
	c.mu.Lock()
	call, ok := c.byID[id]
	delete(c.byID, id)
	c.mu.Unlock()
	if ok && !time.Now().After(call.until) {
		call.reply(result)
	}
}

// Close forgets all calls, and takes no more: the hub knows that their target is gone.
func (c *Calls) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID, c.closed = nil, true
	if c.sweep != nil {
		c.sweep.Stop()
		c.sweep = nil
	}
}

// Payload makes what a device answers fit for JSON around it: text that is no JSON
// becomes a string, and nothing stays nothing.
func Payload(answer []byte) json.RawMessage {
	if len(answer) == 0 {
		return nil
	}
	if json.Valid(answer) {
		return answer
	}
	text, _ := json.Marshal(string(answer)) // a string always can be
	return text
}
