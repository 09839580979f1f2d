package cli

import (
	"log/slog"
	"net"
	"os"
	"strings"
)

// tellSystemd sends a state to the service manager, if one has asked for it; see
// sd_notify(3).
func tellSystemd(log *slog.Logger, state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	if name, ok := strings.CutPrefix(socket, "@"); ok {
		socket = "\x00" + name // of the abstract kind
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close() // nothing is buffered
	}
	if err != nil {
		log.Warn("the service manager was not told", "state", state, "err", err)
	}
}
