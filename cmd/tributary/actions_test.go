package main

import (
	"net/http"
	"slices"
	"testing"

	"tributary"
	"tributary/awswire"
	"tributary/front/api"
	"tributary/front/cognitoidentity"
	"tributary/front/cognitosync"
	"tributary/front/kinesisapi"
	"tributary/front/sts"
)

// TestActions: policies know the operations of all fronts, and no others.
func TestActions(t *testing.T) {
	service := &tributary.Service{}
	for _, front := range []http.Handler{
		cognitosync.New(cognitosync.Config{Service: service}),
		cognitoidentity.New(cognitoidentity.Config{Service: service}),
		kinesisapi.New(kinesisapi.Config{Service: service}),
		sts.New(sts.Config{Service: service}),
		api.New(api.Config{Service: service}),
	} {
		s, ok := front.(*awswire.Service[tributary.Principal])
		if !ok {
			t.Fatalf("a front is a %T", front)
		}
		var has []string
		for _, o := range s.Operations {
			has = append(has, o.Name)
		}
		slices.Sort(has)
		if known := tributary.Operations(s.Name); !slices.Equal(known, has) {
			t.Errorf("policies know of %s\n%v\nits front has\n%v", s.Name, known, has)
		}
	}
}
