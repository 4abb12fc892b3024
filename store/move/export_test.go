package move

import "time"

// Impatient makes a mover give up soon on a store that does not tell its state.
func (m *Mover) Impatient() { m.patience = 100 * time.Millisecond }
