package pgstore_test

import (
	"testing"

	"tributary"
	"tributary/store/pgstore"
)

// TestPlace: a name shows no password, and all hosts.
func TestPlace(t *testing.T) {
	for url, want := range map[string][2]string{
		"postgres://u:secret@h:5433/db":                                          {"postgres://u@h:5433/db", "h:5433"},
		"postgres://u:secret@h1:5432,h2:5433/db?target_session_attrs=read-write": {"postgres://u@h1:5432,h2:5433/db", "h1:5432"},
		"postgres://u@/db?host=/var/run/postgresql":                              {"postgres://u@/var/run/postgresql:5432/db", ""},
		"postgres://u:secret@[::1]:5432/db":                                      {"postgres://u@[::1]:5432/db", "[::1]:5432"},
	} {
		name, address, err := pgstore.Place(url)
		if err != nil || name != want[0] || address != want[1] {
			t.Errorf("%s is %s at %s, %v", url, name, address, err)
		}
	}
	if _, _, err := pgstore.Place("mysql://h"); tributary.KindOf(err) != tributary.Invalid {
		t.Errorf("another protocol: %v", err)
	}
}
