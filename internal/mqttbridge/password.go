package mqttbridge

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// passwords is a password file as mosquitto_passwd writes it: one name:hash a line,
// the hash as $7$iterations$salt$hash (PBKDF2 with SHA-512) or $6$salt$hash (SHA-512).
type passwords map[string]secret

type secret struct {
	iterations int // 0 for one plain SHA-512
	salt, hash []byte
}

// maxIterations bounds what one attempt to connect costs.
const maxIterations = 1_000_000

func loadPasswords(file string) (passwords, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := parsePasswords(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

func parsePasswords(r io.Reader) (passwords, error) {
	p := make(passwords)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, found := strings.Cut(line, ":")
		s, err := parseSecret(hash)
		if !found || name == "" || err != nil {
			return nil, fmt.Errorf("line %d: it must be name:hash, as mosquitto_passwd writes it", n)
		}
		p[name] = s
	}
	return p, lines.Err()
}

var errHash = errors.New("not a hash of a known form")

func parseSecret(text string) (s secret, err error) {
	parts := strings.Split(text, "$")
	switch {
	case len(parts) == 5 && parts[0] == "" && parts[1] == "7":
		s.iterations, err = strconv.Atoi(parts[2])
		if err != nil || s.iterations < 1 || s.iterations > maxIterations {
			return secret{}, errHash
		}
		parts = parts[3:]
	case len(parts) == 4 && parts[0] == "" && parts[1] == "6":
		parts = parts[2:]
	default:
		return secret{}, errHash
	}
	if s.salt, err = base64.StdEncoding.DecodeString(parts[0]); err == nil {
		s.hash, err = base64.StdEncoding.DecodeString(parts[1])
	}
	if err != nil || len(s.hash) != sha512.Size {
		return secret{}, errHash
	}
	return s, nil
}

// check reports whether the password is this user's. A user that is not there
// takes as long as one that is.
func (p passwords) check(user string, password []byte) bool {
	s, known := p[user]
	if !known {
		for _, s = range p {
			break
		}
	}
	return s.check(password) && known
}

func (s *secret) check(password []byte) bool {
	var got []byte
	if s.iterations == 0 {
		sum := sha512.Sum512(append(append([]byte{}, password...), s.salt...))
		got = sum[:]
	} else {
		var err error
		if got, err = pbkdf2.Key(sha512.New, string(password), s.salt, s.iterations, sha512.Size); err != nil {
			return false
		}
	}
	return subtle.ConstantTimeCompare(got, s.hash) == 1
}
