package payload

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary"
	"tributary/awswire"
)

// Prefix is what the paths of all links begin with.
const Prefix = "/_tributary/payload/"

const (
	service   = "tributary"        // in the scope of the signature
	accessKey = "TRIBUTARYPAYLOAD" // no developer's: those are in the store
)

// Links makes links. Sealer and PublicURL are required. The fields must not
// change after the first link.
type Links struct {
	Sealer *tributary.Sealer
	// PublicURL is how readers reach the server: scheme, host and perhaps a
	// port. A path in it is ignored.
	PublicURL string
	Region    string           // in the scope of the signature; "": us-east-1
	Now       func() time.Time // nil: time.Now

	once   sync.Once // guards what follows, which the fields stand for
	origin *url.URL  // nil: there can be no links
	secret string
}

// Link makes a link to the records of a shard's entry, good for a time of at
// most 7 days. It is "" if PublicURL is no URL.
func (l *Links) Link(shard tributary.Shard, pos tributary.Position, expires time.Duration) string {
	l.once.Do(l.prepare)
	if l.origin == nil {
		return ""
	}
	now, region := time.Now, "us-east-1"
	if l.Now != nil {
		now = l.Now
	}
	if l.Region != "" {
		region = l.Region
	}
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: l.origin.Scheme, Host: l.origin.Host, Path: path(shard, pos)}}
	return awswire.Presign(r, awswire.Credentials{AccessKeyID: accessKey, SecretKey: l.secret}, region, service, now(), expires)
}

// prepare does once what every link needs.
func (l *Links) prepare() {
	u, err := url.Parse(l.PublicURL)
	if err != nil || u.Host == "" {
		return
	}
	if l.secret, err = secretOf(l.Sealer); err != nil {
		return
	}
	l.origin = &url.URL{Scheme: u.Scheme, Host: sentHost(u)}
}

// sentHost is the Host header that clients send for a URL: some leave the
// scheme's own port away, so it is left away for all.
func sentHost(u *url.URL) string {
	host := u.Host
	switch u.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return host
}

func path(shard tributary.Shard, pos tributary.Position) string {
	return Prefix + strconv.FormatUint(uint64(shard.Stream), 10) + "/" + strconv.FormatUint(uint64(shard.Number), 10) + "/" + string(pos)
}

// secretOf derives the key that links are signed with.
func secretOf(s *tributary.Sealer) (string, error) {
	key, err := s.Key("payload links", nil)
	return hex.EncodeToString(key), err
}
