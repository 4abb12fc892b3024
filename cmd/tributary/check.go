package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

var accountPattern = regexp.MustCompile(`^[0-9]{12}$`)

// Validate refuses settings that cannot work. Kong calls it, so that they are
// a wrong command line.
func (c *serveCmd) Validate() error {
	if !accountPattern.MatchString(c.Account) {
		return fmt.Errorf("--account is %q, it must be 12 digits", c.Account)
	}
	const mostShards = 1024
	if c.Shards < 1 || c.Shards > mostShards {
		return fmt.Errorf("--shards is %d, it must be between 1 and %d", c.Shards, mostShards)
	}
	if c.Drain < 0 {
		return fmt.Errorf("--drain is %v, it must not be negative", c.Drain)
	}
	if _, err := minFree(c.MinFree, 0); err != nil {
		return err
	}
	if err := checkPublicURL(c.PublicURL); err != nil {
		return err
	}
	return c.checkSizes()
}

func (c *serveCmd) checkSizes() error {
	const kibi, mebi, gibi = 1 << 10, 1 << 20, 1 << 30
	for _, s := range []struct {
		flag        string
		have        byteSize
		least, most byteSize // 0: no most
		why         string
	}{
		{"--stream-inline-limit", c.StreamInlineLimit, kibi, 10 * mebi, "Kinesis' own limit"},
		{"--cache", c.Cache, mebi, 0, ""},
		{"--mem-table", c.MemTable, mebi, gibi, ""},
		{"--memory-limit", c.MemoryLimit, 64 * mebi, 0, "below it Go collects garbage all the time"},
		{"--head-cache", c.HeadCache, mebi, c.MemoryLimit / 2, "half of --memory-limit, which it is part of"},
		{"--warehouse-memory", c.WarehouseMemory, 64 * mebi, 0, ""},
	} {
		if s.have >= s.least && (s.most == 0 || s.have <= s.most) {
			continue
		}
		allowed := "at least " + s.least.String()
		if s.most > 0 {
			allowed = "between " + s.least.String() + " and " + s.most.String()
		}
		if s.why != "" {
			allowed += " (" + s.why + ")"
		}
		return fmt.Errorf("%s is %v, it must be %s", s.flag, s.have, allowed)
	}
	return nil
}

// checkPublicURL refuses what no path can be added to.
func checkPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "") {
		err = errors.New("it has another form")
	}
	if err != nil {
		return fmt.Errorf("--public-url is %q, it must be like https://sync.example.org: http or https, a host, and no path", text)
	}
	return nil
}
