package auth

// Remembered is how many buckets are in memory.
func (l *Limits) Remembered() int {
	n := 0
	for _, b := range []interface{ size() int }{&l.identities, &l.pools, &l.addresses} {
		n += b.size()
	}
	return n
}

func (b *buckets[K]) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.full) + len(b.before)
}
