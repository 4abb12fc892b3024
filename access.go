package tributary

import (
	"strings"
	"sync"
)

// Resources are named by ARNs, for policies and the audit log.

func (s *Service) arn(service, region, resource string) string {
	return "arn:aws:" + service + ":" + region + ":" + s.Account + ":" + resource
}

// dataARN names a dataset, an identity's data, or all of a pool's.
func (s *Service) dataARN(k DatasetKey) string {
	name := "identitypool/" + string(k.Pool)
	if k.Identity != "" {
		name += "/identity/" + string(k.Identity)
	}
	if k.Dataset != "" {
		name += "/dataset/" + string(k.Dataset)
	}
	return s.arn("cognito-sync", k.Pool.Region(), name)
}

// accessARN is what a call is on: AWS checks the list of an identity's datasets
// against one that is called null.
func (s *Service) accessARN(p *Principal, k DatasetKey) string {
	if k.Dataset == "" && p.Call != nil && p.Call.Action == "cognito-sync:ListDatasets" {
		k.Dataset = "null"
	}
	return s.dataARN(k)
}

// poolARN names a pool for the service that is called.
func (s *Service) poolARN(p *Principal, id PoolID) string {
	service := "cognito-sync"
	if p.Call != nil && strings.HasPrefix(p.Call.Action, "cognito-identity:") {
		service = "cognito-identity"
	}
	return s.arn(service, id.Region(), "identitypool/"+string(id))
}

func (s *Service) streamARN(name StreamName) string {
	return s.arn("kinesis", s.region(), "stream/"+string(name))
}

// allResources is for an action that is not on any.
const allResources = "*"

// Allow refuses who is no developer, or is one whose key's policy does not allow
// this call on a resource, named by its ARN or "*".
//
// Errors: Denied, Forbidden.
func (s *Service) Allow(p Principal, op, resource string) error {
	if !p.Developer() {
		return denied(op)
	}
	return s.ask(&p, op, p.Policy, resource)
}

// allowData is Allow for what an identity may do too, with its own data. Its
// role's policy is asked when its pool is read.
func (s *Service) allowData(p Principal, op string, k DatasetKey) error {
	switch {
	case p.owns(k):
		return nil
	case p.Developer():
		if p.Call == nil {
			return nil
		}
		return s.ask(&p, op, p.Policy, s.accessARN(&p, k))
	}
	return denied(op)
}

// allowRole asks the policies of an identity's role and session, both of which
// must allow the call.
func (s *Service) allowRole(p *Principal, op string, pool *Pool, k DatasetKey) error {
	if p.Call == nil || p.Session == nil || len(pool.Roles.Policies) == 0 && p.Session.Policy == nil {
		return nil
	}
	policy, err := s.policies.read(pool.Roles.Policies[p.Session.Role])
	if err != nil {
		return err
	}
	resource := s.accessARN(p, k)
	if err := s.ask(p, op, policy, resource); err != nil {
		return err
	}
	return s.ask(p, op, p.Session.Policy, resource)
}

// ask notes what a call is on, and asks a policy, if there is one.
func (s *Service) ask(p *Principal, op string, policy *Policy, resource string) error {
	if p.Call == nil {
		return nil
	}
	p.Call.Resource = resource
	if policy == nil {
		return nil
	}
	a := Access{Action: p.Call.Action, Resource: resource}
	if len(policy.keys) > 0 {
		a.Keys = map[string]string{}
		s.fillKeys(a.Keys, p, policy)
	}
	if policy.Decide(&a) == Allowed {
		return nil
	}
	return Errorf(Forbidden, op, "User: %s is not authorized to perform: %s on resource: %s", s.userARN(p), p.Call.Action, resource)
}

// userARN names a principal as IAM does.
func (s *Service) userARN(p *Principal) string { return s.Caller(*p).ARN }

// policies remembers the policies of roles, by their documents.
type policies struct {
	mu   sync.Mutex
	have map[string]*Policy
}

// read gives the policy of a document, nil if there is none.
func (c *policies) read(document string) (*Policy, error) {
	const most = 256
	if document == "" {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.have[document]; p != nil {
		return p, nil
	}
	p, err := ParsePolicy(document)
	if err != nil { // it was checked when it was set
		return nil, &Error{Kind: Internal, Op: "read policy", Err: err}
	}
	if c.have == nil || len(c.have) >= most {
		c.have = map[string]*Policy{}
	}
	c.have[document] = p
	return p, nil
}
