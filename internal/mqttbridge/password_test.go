package mqttbridge

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"strings"
	"testing"
)

func pbkdf2Of(password string, salt []byte, iterations int) []byte {
	key, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
	if err != nil {
		panic(err)
	}
	return key
}

// These were written by mosquitto_passwd 2.0.
const mosquittos = `# a comment

pump-7:$7$101$za8V5DNMdS2h/E+p$Jzjf+NwF3kUkcHtDoc1ZOM6GMVk+KOSI6i3wS8972LZUFNWu+7ixyMuDol0P3rTj7rCpRCitC6n6GFgKzFr+lw==
pump-8:$7$101$c9YedgJB+0mKd9Qj$kOjfzfQbceHcDjNfTcEov5Ajkuc0sZ2IYao6AWC3QUxuQ/nQcaXLjHABy+n08pkH0iLynd5DaTmMSvF3Oaum7g==
`

func TestPasswordFilesOfMosquitto(t *testing.T) {
	p, err := parsePasswords(strings.NewReader(mosquittos))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, password string
		want           bool
	}{
		{"pump-7", "secret", true}, {"pump-7", "Secret", false}, {"pump-7", "", false}, {"pump-8", "grün", true}, {"", "secret", false}, {"nobody", "secret", false},
	} {
		if got := p.check(c.user, []byte(c.password)); got != c.want {
			t.Errorf("%s with %q: %v", c.user, c.password, got)
		}
	}
	if (passwords{}).check("a", nil) {
		t.Error("an empty file lets somebody in")
	}
}

func TestPasswordFilesThatCannotBe(t *testing.T) {
	for _, text := range []string{"a", "a:", "a:secret", ":$6$AAAA$AAAA", "a:$6$AAAA$AAAA", "a:$7$0$AAAA$AAAA", "a:$7$99999999$AAAA$AAAA", "a:$5$x$y", "a:$7$101$!$!"} {
		if _, err := parsePasswords(strings.NewReader("# first\n" + text)); err == nil || !strings.Contains(err.Error(), "line 2: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzPasswords(f *testing.F) {
	f.Add(mosquittos)
	f.Add("a:$6$AAAA$AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePasswords(strings.NewReader(text))
		if err == nil && p.check("nobody at all", []byte("x")) && len(p) == 0 {
			t.Error("nobody came in")
		}
	})
}
