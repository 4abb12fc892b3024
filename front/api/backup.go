package api

import (
	"context"

	"tributary/awswire"
)

// BackupPath is the path of the operation Backup, whose answer may take long.
const BackupPath = Prefix + "backup"

type backupIn struct{}

// backup answers with the backup itself, which is a tar archive.
func (f *front) backup(ctx context.Context, p principal, _ *backupIn) (*awswire.Stream, error) {
	if err := f.Service.Allow(p, "backup", "*"); err != nil {
		return nil, err
	}
	return f.Backup(ctx)
}
