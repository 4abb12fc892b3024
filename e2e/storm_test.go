package e2e

import (
	bytesOf "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

const stormClients = 200

// TestStorm has more clients than a node has connections to its database, and
// than the database has left: everybody gets an answer, and the node takes no
// more than it may.
func TestStorm(t *testing.T) {
	t.Parallel()
	ownDatabase(t)
	t.Run("FewConnections", testFewConnections)
	t.Run("NoneFree", testNoneFree)
}

// newDatabase starts a PostgreSQL with a user that has no privileges, and
// gives the URL of its database.
func newDatabase(t *testing.T, number int, settings ...string) (*postgres, string) {
	t.Helper()
	p := newPostgres(t, fmt.Sprintf("127.214.%d.%d", os.Getpid()%250, number))
	err := firstError(nil, func() error { return p.create("127.0.0.0/8", settings...) }, p.up,
		func() error { _, err := p.sql("CREATE USER tributary"); return err },
		func() error { _, err := p.sql("CREATE DATABASE tributary OWNER tributary"); return err })
	if err != nil {
		t.Fatal(err)
	}
	return p, "postgres://tributary@" + p.hostPort() + "/tributary?sslmode=disable"
}

// connections counts those of the nodes.
func (p *postgres) connections() (int, error) {
	text, err := p.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tributary'")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// storm is many clients, each with an identity and a dataset of its own.
type storm struct {
	*testing.T
	s        *server
	dev      *caller
	datasets []dataset
	last     []int64 // sync count of each
	answers  tally
}

func newStorm(t *testing.T, s *server) *storm {
	t.Helper()
	st := &storm{T: t, s: s, dev: s.developer(), last: make([]int64, stormClients)}
	pool := st.dev.newPool(t, "storm")
	for range stormClients {
		var id struct{ IdentityId string }
		st.dev.call(t, identityService, "GetId", object{"IdentityPoolId": pool}, &id)
		st.datasets = append(st.datasets, dataset{pool, id.IdentityId, "notes"})
	}
	return st
}

// blow lets all clients sync once at the same time, and tells how many could.
func (st *storm) blow() int {
	var mu sync.Mutex
	done := 0
	var clients sync.WaitGroup
	for i, d := range st.datasets {
		clients.Go(func() {
			count, ok := st.sync(d, st.last[i])
			if ok {
				mu.Lock()
				defer mu.Unlock()
				done, st.last[i] = done+1, count
			}
		})
	}
	clients.Wait()
	return done
}

// sync lists a dataset and changes it. It is false if it was refused for now.
func (st *storm) sync(d dataset, last int64) (count int64, ok bool) {
	var l listing
	if !st.ask(http.MethodGet, d.path()+"/records", nil, &l) {
		return 0, false
	}
	if l.DatasetSyncCount < last {
		st.Errorf("%s: sync count %d after %d was acknowledged", d.path(), l.DatasetSyncCount, last)
	}
	body, err := json.Marshal(update{l.SyncSessionToken, []patch{replace("k", "v", l.DatasetSyncCount)}})
	if err != nil {
		st.Error(err)
		return 0, false
	}
	var out struct{ Records []record }
	if !st.ask(http.MethodPost, d.path(), body, &out) || len(out.Records) != 1 {
		return 0, false
	}
	return out.Records[0].SyncCount, true
}

// ask sends a request, which must be answered, if only by a refusal.
func (st *storm) ask(method, path string, body []byte, out any) bool {
	r, err := st.dev.request(syncService, method, path, body)
	if err != nil {
		st.Error(err)
		return false
	}
	began := time.Now()
	a, err := st.dev.send(r)
	took := time.Since(began)
	switch {
	case err != nil:
		st.Errorf("%s: no answer after %v: %v", method, took, err)
		return false
	case took > mostAnswer:
		st.Errorf("%s: status %d after %v", method, a.status, took)
	}
	st.answers.add(fmt.Sprint(a.status), took)
	if a.status != http.StatusOK {
		if err := isRefusal(a); err != nil || a.status != http.StatusServiceUnavailable {
			st.Error(errorOf(method, a, err))
		}
		return false
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		st.Error(errorOf(method, a, err))
		return false
	}
	return true
}

// testFewConnections has four connections for all clients.
func testFewConnections(t *testing.T) {
	const most = 4 // the least that a node takes
	p, url := newDatabase(t, 2)
	s := newServer(t, "--warehouse", "none", "--store-connections", strconv.Itoa(most))
	s.env = append(s.env, "TRIBUTARY_STORE="+url)
	s.start()
	st := newStorm(t, s)
	stop := make(chan struct{})
	var watching sync.WaitGroup
	highest := 0
	watching.Go(func() {
		for {
			n, err := p.connections()
			if err != nil {
				t.Error(err)
				return
			}
			highest = max(highest, n)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	done, rounds := 0, 5*soak(t)
	for range rounds {
		done += st.blow()
	}
	close(stop)
	watching.Wait()
	t.Logf("%d of %d syncs done over at most %d connections; answers: %v", done, rounds*stormClients, highest, st.answers.String())
	if highest < 1 || highest > most {
		t.Errorf("%d connections, the most is %d", highest, most)
	}
	if done == 0 {
		t.Error("no sync was done")
	}
}

// testNoneFree has others who take all of the database's connections, then all
// but one, then none.
func testNoneFree(t *testing.T) {
	p, url := newDatabase(t, 3, "max_connections = 12", "superuser_reserved_connections = 3")
	start := func() *server {
		s := newServer(t, "--warehouse", "none", "--store-connections", "8")
		s.env = append(s.env, "TRIBUTARY_STORE="+url)
		return s
	}
	s := start()
	s.start()
	st := newStorm(t, s)
	st.blow()
	others := &others{p: p}
	defer others.leave()
	eventually(t, time.Minute, func() error {
		if _, err := p.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'"); err != nil {
			return err
		}
		if err := others.takeAll(); err != nil {
			return err
		}
		held := len(others.held)
		n, err := p.connections()
		if err == nil && n > 0 {
			return fmt.Errorf("the node still has %d connections", n)
		}
		// One that ended may have become free only now.
		if err = firstError(err, others.takeAll); err == nil && len(others.held) > held {
			err = errors.New("not all connections were taken")
		}
		return err
	})
	if done := st.blow(); done > 0 {
		t.Errorf("%d syncs were done without a connection", done)
	}
	if status, text := s.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: status %d: %q", status, text)
	}
	late := start()
	late.env = append(late.env, "TRIBUTARY_MASTER_KEY_FILE="+s.data+"/master.key")
	late.launch()
	if code := late.await(time.Minute); code != 1 {
		t.Errorf("a new node without a connection ended with exit code %d: %s", code, late.stderr)
	}
	t.Logf("none free: %v; a new node said: %s", st.answers.String(), late.stderr)

	st.answers = tally{}
	others.leaveOne()
	eventually(t, time.Minute, func() error {
		if st.blow() == 0 {
			return errors.New("no sync was done with a connection free")
		}
		return nil
	})
	t.Logf("one free: %v", st.answers.String())

	st.answers = tally{}
	others.leave()
	eventually(t, time.Minute, func() error {
		if n := st.blow(); n < stormClients {
			return fmt.Errorf("%d of %d syncs are done with all connections free again", n, stormClients)
		}
		return nil
	})
	t.Logf("all free: %v", st.answers.String())
	late.start()
}

// others hold connections to a database, and do nothing with them.
type others struct {
	p    *postgres
	held []net.Conn
}

// takeAll takes connections until the database has none left.
func (o *others) takeAll() error {
	for {
		conn, err := o.connect()
		if err != nil || conn == nil {
			return err
		}
		o.held = append(o.held, conn)
	}
}

func (o *others) leaveOne() {
	_ = o.held[0].Close()
	o.held = o.held[1:]
}

func (o *others) leave() {
	for len(o.held) > 0 {
		o.leaveOne()
	}
}

// connect opens a connection as the nodes' user; nil if the database refuses.
func (o *others) connect() (net.Conn, error) {
	const protocol = 3 << 16
	conn, err := net.Dial("tcp", o.p.hostPort())
	if err != nil {
		return nil, err
	}
	said := bytesOf.BigEndian.AppendUint32(nil, protocol)
	said = append(said, "user\x00tributary\x00database\x00tributary\x00application_name\x00others\x00\x00"...)
	_, err = conn.Write(append(bytesOf.BigEndian.AppendUint32(nil, uint32(4+len(said))), said...))
	for err == nil {
		var head [5]byte // what it is, and its length with that of the length
		if _, err = io.ReadFull(conn, head[:]); err == nil {
			_, err = io.CopyN(io.Discard, conn, int64(bytesOf.BigEndian.Uint32(head[1:])-4))
		}
		switch head[0] {
		case 'Z': // ready
			return conn, err
		case 'E': // refused
			return nil, conn.Close()
		}
	}
	return nil, errors.Join(err, conn.Close())
}
