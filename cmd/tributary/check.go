package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
)

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)
)

// Validate refuses settings that cannot work. Kong calls it, so that they are
// a wrong command line.
func (c *serveCmd) Validate() error {
	if err := checkAccount(c.Account); err != nil {
		return err
	}
	if c.Shards != nil {
		if err := checkShards(*c.Shards); err != nil {
			return err
		}
	}
	if c.Drain < 0 {
		return fmt.Errorf("--drain is %v, it must not be negative", c.Drain)
	}
	const leastConnections = 4 // views, commits, and one for all else
	if c.Store != "" && c.StoreConnections < leastConnections {
		return fmt.Errorf("--store-connections is %d, it must be at least %d", c.StoreConnections, leastConnections)
	}
	_, err := minFree(c.MinFree, 0)
	return cmp.Or(err, checkStore("--store", c.Store), c.checkPlaces(), c.checkTLS(), c.checkDoor(), c.checkLogins(), c.checkLambda(), c.kinesisFlags.check(), checkRegions("--regions", c.Regions...), c.checkSizes())
}

func checkAccount(account string) error {
	if !accountPattern.MatchString(account) {
		return fmt.Errorf("--account is %q, it must be 12 digits", account)
	}
	return nil
}

func checkShards(n int) error {
	const most = 1024
	if n < 1 || n > most {
		return fmt.Errorf("--shards is %d, it must be between 1 and %d", n, most)
	}
	return nil
}

func (c *serveCmd) checkPlaces() error {
	err := cmp.Or(checkListen("--listen", c.Listen), checkData(c.Data), checkRegions("--region", c.Region), checkURL("--public-url", c.PublicURL), checkURL("--node-url", c.NodeURL))
	if err == nil && c.DebugListen != "" {
		err = checkListen("--debug-listen", c.DebugListen)
	}
	return err
}

// checkListen wants an address to listen on. Without a host it is every one of
// the machine.
func checkListen(flag, text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s is %q, it must be HOST:PORT", flag, text)
	}
	return nil
}

// checkData refuses a data folder that can be none. It need not be there yet.
func checkData(path string) error {
	if path == "" {
		return errors.New("--data is empty, it must be a folder")
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return fmt.Errorf("--data %s is a file, it must be a folder", path)
	}
	return nil
}

// checkRegions wants AWS's form of regions, which clients take ids apart by.
func checkRegions(flag string, regions ...string) error {
	for _, r := range regions {
		if !regionPattern.MatchString(r) {
			return fmt.Errorf("%s is %q, it must be of the form us-east-1", flag, r)
		}
	}
	return nil
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

// checkURL refuses what no path can be added to.
func checkURL(flag, text string) error {
	if text == "" {
		return nil
	}
	if !isServerURL(text) {
		return fmt.Errorf("%s is %q, it must be like https://sync.example.org: http or https, a host, and no path", flag, text)
	}
	return nil
}

func isServerURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}
