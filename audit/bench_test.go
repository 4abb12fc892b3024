package audit_test

import (
	"fmt"
	"testing"

	"tributary/audit"
)

// BenchmarkNote has few resources, which are counted one by one, and so many
// that they are counted by pool.
func BenchmarkNote(b *testing.B) {
	for _, c := range []struct {
		name      string
		resources int
	}{{"Common", 50}, {"Overflow", 10_000}} {
		b.Run(c.name, func(b *testing.B) {
			acts := make([]audit.Act, c.resources)
			for i := range acts {
				acts[i] = act("cognito-sync:UpdateRecords", fmt.Sprintf("arn:aws:cognito-sync:us-east-1:000000000000:identitypool/us-east-1:00000000-0000-4000-8000-000000000001/identity/us-east-1:00000000-0000-4000-8000-%012d/dataset/settings", i))
			}
			l := &audit.Log{}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				l.Note(acts[i%len(acts)])
			}
		})
	}
}
