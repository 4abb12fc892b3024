package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// binaryVariable names the binary under test. TestMain sets it if nobody did.
const binaryVariable = "TRIBUTARY_BINARY"

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) (code int) {
	if err := checkEngine(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	if os.Getenv(binaryVariable) == "" {
		dir, err := os.MkdirTemp("", "tributary-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path := filepath.Join(dir, "tributary")
		build := exec.Command("go", "build", "-o", path, "./cmd/tributary")
		build.Dir = ".."
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "the binary does not build: %v\n%s", err, out)
			return 1
		}
		if err := os.Setenv(binaryVariable, path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// Most tests wait, for processes and for time-outs. -parallel beats this.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// binary is the path of the binary under test.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(os.Getenv(binaryVariable))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// soak is by how much sizes are multiplied; 1 in CI.
func soak(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TRIBUTARY_SOAK")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TRIBUTARY_SOAK is %q, it must be a number of at least 1", text)
	}
	return n
}

// longRun is a size: short, or in a soak run long.
func longRun(t *testing.T, short, long int) int {
	t.Helper()
	if soak(t) == 1 {
		return short
	}
	return long
}

// random gives a source of randomness whose seed is printed; TRIBUTARY_SEED
// repeats a run.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TRIBUTARY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("TRIBUTARY_SEED: %v", err)
		}
	}
	t.Logf("seed: TRIBUTARY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// eventually polls until f has no error any more.
func eventually(t *testing.T, within time.Duration, f func() error) {
	t.Helper()
	if err := poll(within, f); err != nil {
		t.Fatalf("after %v: %v", within, err)
	}
}

func poll(within time.Duration, f func() error) error {
	deadline := time.Now().Add(within)
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-every.C
	}
}

// built is a path below build/e2e, where scripts/e2e-setup puts the clients.
func built(t *testing.T, path ...string) string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(append([]string{"..", "build", "e2e"}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v: run scripts/e2e-setup first", err)
	}
	return file
}

// environment is that of a child: nothing of this machine's AWS settings. With
// the race detector a program waits for a second before it exits, by default,
// for reports of goroutines that are still at it: some hundreds of them end here.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "LANG=C.UTF-8", "GORACE=atexit_sleep_ms=50"}, more...)
}
