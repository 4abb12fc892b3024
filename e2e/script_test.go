package e2e

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestJavaScript runs the clients for JavaScript.
func TestJavaScript(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("%v: run scripts/e2e-setup first", err)
	}
	modules := built(t, "js", "node_modules")
	for _, script := range []string{"sdk2", "classic", "sdk3", "identity", "http2", "devices", "manager"} {
		t.Run(script, func(t *testing.T) {
			cases(t, s, []string{"NODE_PATH=" + modules, "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE=1"}, node, filepath.Join("js", script+".js"))
		})
	}
}

// cases runs a script that prints a line of JSON for each of its cases.
func cases(t *testing.T, s *server, env []string, name string, args ...string) {
	t.Helper()
	k := s.key()
	r := runCommand(t, environment(t, append(env, "ENDPOINT="+s.url, "KEY_ID="+k.id, "KEY_SECRET="+k.secret, "ACCOUNT="+account)...), name, args...)
	n := 0
	for lines := bufio.NewScanner(strings.NewReader(r.stdout)); lines.Scan(); n++ {
		var c struct {
			Name  string `json:"name"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		t.Run(c.Name, func(t *testing.T) {
			if c.Error != "" {
				t.Error(c.Error)
			}
		})
	}
	if r.code != 0 || n == 0 {
		t.Errorf("%d cases, exit code %d: %s", n, r.code, clip(r.stderr))
	}
}
