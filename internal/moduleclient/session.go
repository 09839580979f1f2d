package moduleclient

import (
	"context"
	"sync"
	"time"

	"sluice/iot"
)

// A session is one whose token is replaced in time.
type session struct {
	iot.Session
	client *Client
	sign   signer

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func (c *Client) connect(ctx context.Context, id iot.Identity, sign signer, client iot.Client) (iot.Session, error) {
	creds, err := c.credentials(ctx, id, sign)
	if err != nil {
		return nil, err
	}
	s := &session{client: c, sign: sign}
	ended := client.Ended
	client.Ended = func(reason error) {
		s.stop()
		if ended != nil {
			ended(reason)
		}
	}
	if client.Product == "" {
		client.Product = c.opt.Product
	}
	s.Session, err = c.hub.Connect(ctx, creds, client)
	if err != nil {
		return nil, err
	}
	s.renewIn(c.opt.TokenLife / 4 * 3)
	return s, nil
}

// renewIn has the token replaced after a time.
func (s *session) renewIn(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.timer = time.AfterFunc(d, s.renew)
	}
}

// renew replaces the token. What fails is tried again, until the session ends,
// at the latest with the old token.
func (s *session) renew() {
	c := s.client
	if !c.begin() {
		return
	}
	defer c.work.Done()
	ctx, cancel := context.WithTimeout(c.life, renewTimeout)
	defer cancel()
	creds, err := c.credentials(ctx, s.Identity(), s.sign)
	if err == nil {
		err = s.Renew(ctx, creds)
	}
	if err != nil {
		s.renewIn(c.opt.TokenLife / 24)
		return
	}
	s.renewIn(c.opt.TokenLife / 4 * 3)
}

const renewTimeout = time.Minute

// begin counts work that Close waits for, unless the client is closed.
func (c *Client) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.work.Add(1)
	return true
}

func (s *session) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// Close ends the session.
func (s *session) Close() error {
	s.stop()
	return s.Session.Close()
}
