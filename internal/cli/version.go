package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version describes this build: the module's version, the commit it was made
// from and when, and whether the work tree had changes on top of it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "sluice (built without module information)"
	}
	return describe(info)
}

func describe(info *debug.BuildInfo) string {
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sluice %s", strings.Trim(info.Main.Version, "()"))
	if rev := set["vcs.revision"]; rev != "" {
		fmt.Fprintf(&b, "\ncommit %.12s of %s", rev, set["vcs.time"])
		if set["vcs.modified"] == "true" {
			b.WriteString(", with changes")
		}
	}
	fmt.Fprintf(&b, "\n%s %s/%s", info.GoVersion, runtime.GOOS, runtime.GOARCH)
	return b.String()
}
