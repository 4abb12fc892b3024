package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-json-experiment/json"

	"tributary"
	"tributary/auth"
	"tributary/awswire"
	"tributary/front/api"
	"tributary/front/cognitoidentity"
	"tributary/front/cognitosync"
	"tributary/front/kinesisapi"
	"tributary/store/pebblestore"
	"tributary/store/pgstore"
)

// TestMain is also the servers that the benchmark starts: it runs its own
// executable, which here is this test.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "serve" && os.Args[1] != "bench" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := errors.New("fails at its start, as it was told")
	switch {
	case os.Args[len(os.Args)-1] == "--fail":
	case os.Args[1] == "bench":
		err = NullServer(ctx, os.Stdout)
	default:
		err = serveTiny(ctx, os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// argument finds the value of a flag.
func argument(args []string, name string) string {
	for i := range args[:len(args)-1] {
		if args[i] == name {
			return args[i+1]
		}
	}
	return ""
}

// openTiny opens the store that serve would.
func openTiny(ctx context.Context, data string) (tributary.Store, error) {
	if url := os.Getenv(storeVariable); url != "" {
		s, err := pgstore.Open(ctx, pgstore.Config{URL: url})
		if err != nil {
			return nil, err
		}
		return s, os.MkdirAll(data, 0o700)
	}
	return pebblestore.Open(pebblestore.Config{Dir: filepath.Join(data, "store")})
}

// serveTiny runs a server without a warehouse as serve would.
func serveTiny(ctx context.Context, args []string) error {
	data := argument(args, "--data")
	store, err := openTiny(ctx, data)
	if err != nil {
		return err
	}
	s, err := newTiny(ctx, store)
	if err != nil {
		return err
	}
	text, err := json.Marshal(s.key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "credentials"), text, 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", argument(args, "--listen"))
	if err != nil {
		return err
	}
	h := &http.Server{Handler: s}
	context.AfterFunc(ctx, func() { _ = h.Close() })
	fmt.Println("the tiny server", readyText+l.Addr().String())
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return store.Close()
}

// readKey reads what serveTiny has written.
func readKey(path string) (key awswire.Credentials, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	return key, json.Unmarshal(text, &key)
}

// tiny is the fronts that the benchmark talks to, over one store.
type tiny struct {
	sync, identity, kinesis, own http.Handler
	key                          awswire.Credentials
}

func newTiny(ctx context.Context, store tributary.Store) (*tiny, error) {
	const account = "123456789012"
	sealer, err := tributary.NewSealer(bytes.Repeat([]byte{7}, tributary.MasterKeyLength))
	if err != nil {
		return nil, err
	}
	a := &auth.Auth{Keys: store, Sealer: sealer, Account: account}
	service := &tributary.Service{Store: store, Sealer: sealer, Account: account}
	t := &tiny{
		sync:     cognitosync.New(cognitosync.Config{Service: service, Authenticate: a.Authenticate}),
		identity: cognitoidentity.New(cognitoidentity.Config{Service: service, Authenticate: a.Authenticate, Issue: a.Issue}),
		kinesis: kinesisapi.New(kinesisapi.Config{Service: service, Log: store, Sealer: sealer, Authenticate: a.Authenticate,
			Region: "us-east-1", Account: account}),
		own: api.New(api.Config{Service: service, Authenticate: a.Authenticate, Query: func(context.Context, string, int, time.Duration) (*api.Table, error) {
			return nil, tributary.Errorf(tributary.Unavailable, "query", "There is no warehouse here")
		}}),
	}
	t.key, err = a.NewAccessKey(ctx)
	return t, err
}

// ServeHTTP sends a request to its front.
func (t *tiny) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scope, _ := awswire.ScopeOf(r)
	switch scope.Service {
	case kinesisName:
		t.kinesis.ServeHTTP(w, r)
	case ownService:
		t.own.ServeHTTP(w, r)
	case "cognito-identity":
		t.identity.ServeHTTP(w, r)
	default:
		t.sync.ServeHTTP(w, r)
	}
}

// inMemory makes a tiny server on a store in memory.
func inMemory(t *testing.T) *tiny {
	t.Helper()
	store, err := pebblestore.Open(pebblestore.Config{Dir: "store", FS: vfs.NewMem(), MemTableSize: 4 << 20, CacheSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := newTiny(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
