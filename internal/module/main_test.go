//go:build unix

package module

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// actVariable makes this program a module, or a gateway.
const actVariable = "SLUICE_TEST_ACT"

func TestMain(m *testing.M) {
	switch act, argument, _ := strings.Cut(os.Getenv(actVariable), " "); act {
	case "":
		goleak.VerifyTestMain(m)
	case "sign":
		fmt.Println(sign(argument))
		wait()
	case "family":
		family()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		wait()
	case "polite":
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("ready")
		fmt.Println("bye after", <-ended)
	case "wait":
		fmt.Println("ready", os.Getenv("ROUND"))
		wait()
	case "gateway":
		gatewayProcess(argument)
	}
}

// wait waits to be killed, but not for ever.
func wait() {
	<-time.After(5 * time.Minute)
	os.Exit(9)
}

// sign asks the workload API for a signature of the module itself, or of another one
// at that one's socket, and tells the answer.
func sign(other string) string {
	module, socket := os.Getenv("IOTEDGE_MODULEID"), strings.TrimPrefix(os.Getenv("IOTEDGE_WORKLOADURI"), "unix://")
	if other != "" {
		socket = strings.ReplaceAll(socket, module+".sock", other+".sock")
		module = other
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	answer, err := client.Post("http://gateway/modules/"+module+"/genid/"+os.Getenv("IOTEDGE_MODULEGENERATIONID")+
		"/sign?api-version="+os.Getenv("IOTEDGE_APIVERSION"), "application/json", strings.NewReader(`{"data":"QQ=="}`))
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(text)))
}

// family starts a child in its own group, and one that leaves it, which both may
// sign, and ignore that they are asked to end.
func family() {
	for _, apart := range []bool{false, true} {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), actVariable+"=stubborn")
		child.Stdout = os.Stdout
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: apart}
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	wait()
}

// gatewayProcess is a runtime as a process of its own, until it is killed.
func gatewayProcess(dir string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	opt, err := testOptions(dir, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r, err := New(opt)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		out := json.NewEncoder(os.Stdout)
		for {
			news := r.next()
			for _, s := range r.List() {
				if s.PID != 0 {
					_ = out.Encode(s.PID) // nobody may listen
				}
			}
			<-news
		}
	}()
	if err := r.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
