package tributary

import (
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of access keys.
const (
	MaxAccessKeyName    = 128                 // characters
	MaxAccessKeyOverlap = 90 * 24 * time.Hour // of a key that is rotated with the one after it
)

// Good tells whether requests may be signed with the key at a time.
func (k *AccessKey) Good(now Millis) bool { return !k.Disabled && (k.Until == 0 || now < k.Until) }

// Full tells whether the key may do everything, and for ever.
func (k *AccessKey) Full() bool { return !k.Disabled && k.Until == 0 && k.Policy == "" }

// CheckAccessKey refuses a name or a policy that no key can have. What is set
// anew must also pass [CheckPolicy].
//
// Errors: Invalid.
func CheckAccessKey(k *AccessKey) error {
	const op = "check access key"
	if n := utf8.RuneCountInString(k.Name); n > MaxAccessKeyName {
		return Errorf(Invalid, op, "The name has %d characters, it must have at most %d", n, MaxAccessKeyName)
	}
	for i, c := range k.Name {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return Errorf(Invalid, op, "The name has a character at byte %d that cannot be printed, it must be text", i)
		}
	}
	if k.Policy == "" {
		return nil
	}
	_, err := ParsePolicy(k.Policy)
	return err
}

// AccessKeyChange is what is to be changed of an access key. What is nil stays.
type AccessKeyChange struct {
	Name     *string
	Policy   *string // "": everything is allowed
	Disabled *bool
}

// Apply changes a key of a server of this account.
//
// Errors: Invalid.
func (c *AccessKeyChange) Apply(k *AccessKey, now Millis, account string) error {
	if c.Name != nil {
		k.Name = *c.Name
	}
	if c.Policy != nil {
		k.Policy = *c.Policy
		if err := CheckPolicy(k.Policy, account, HeldByKey); err != nil {
			return err
		}
	}
	if c.Disabled != nil {
		k.Disabled = *c.Disabled
		if !k.Disabled && !k.Good(now) {
			return Errorf(Invalid, "enable access key", "The access key %s expired at %s and cannot be enabled: create another one", k.ID, k.Until.Time().UTC().Format(time.RFC3339))
		}
	}
	return CheckAccessKey(k)
}

// AccessKeyARN names an access key as IAM names the user that it stands for.
func (s *Service) AccessKeyARN(id string) string { return "arn:aws:iam::" + s.Account + ":user/" + id }
