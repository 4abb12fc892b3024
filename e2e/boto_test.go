package e2e

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// TestBoto reads pages, meets errors and follows presigned links with boto3.
func TestBoto(t *testing.T) {
	t.Parallel()
	runBoto(t, startServer(t), "Paging", "Errors", "Presigned")
}

// TestBotoTexts sends texts that are hard to carry, and those that are as long
// as a dataset may be.
func TestBotoTexts(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	runBoto(t, s, "Hostile", "Large")
	t.Run("Warehouse", func(t *testing.T) { testHostileRows(t, s) })
}

// runBoto runs classes of python/boto_walk.py, whose tests make pools of their
// own.
func runBoto(t *testing.T, s *server, classes ...string) {
	t.Helper()
	k := s.key()
	env := environment(t, "AWS_ENDPOINT_URL="+s.url, "AWS_DEFAULT_REGION="+region, "AWS_ACCESS_KEY_ID="+k.id, "AWS_SECRET_ACCESS_KEY="+k.secret,
		"AWS_EC2_METADATA_DISABLED=true", "PYTHONDONTWRITEBYTECODE=1")
	python, script := built(t, "venv", "bin", "python"), filepath.Join("python", "boto_walk.py")
	for _, class := range classes {
		t.Run(class, func(t *testing.T) {
			if r := runCommand(t, env, python, script, "--verbose", class); r.code != 0 {
				t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// testHostileRows compares what the warehouse made of the hostile dataset with
// what the store holds.
func testHostileRows(t *testing.T, s *server) {
	const sql = "SELECT identityPoolId, identityId, key, value FROM cognito_current_state WHERE datasetName = 'hostile'"
	var rows [][]string
	if onPostgres() {
		s.awaitWarehouse()
	}
	eventually(t, 10*time.Second, func() error {
		if rows = s.query(sql + " LIMIT 1"); len(rows) == 0 {
			return errors.New("the warehouse has no rows of the dataset")
		}
		return nil
	})
	want := map[string]string{}
	for _, r := range s.developer().list(t, dataset{rows[0][0], rows[0][1], "hostile"}).Records {
		want[r.Key] = *r.Value
	}
	r := s.run("query", "--server", s.url, "--data", s.data, "--format", "json", sql)
	var have []struct{ Key, Value string }
	if err := json.Unmarshal([]byte(r.stdout), &have); err != nil || r.code != 0 || len(have) != len(want) {
		t.Fatalf("%d rows, expected %d: %v: %v", len(have), len(want), err, r)
	}
	for _, row := range have {
		if value, ok := want[row.Key]; !ok || value != row.Value {
			t.Errorf("key %q has the value %q, in the store %q (%t)", row.Key, clip(row.Value), clip(value), ok)
		}
	}
}
