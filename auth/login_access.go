package auth

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// facebookIssuer signs the tokens of Facebook's Limited Login.
const facebookIssuer = "https://www.facebook.com"

// verifyFacebook checks a user's access token by asking what app and user it is
// of (Graph API, /app and /me), or an id token of Limited Login.
func (l *Logins) verifyFacebook(ctx context.Context, clients []string, token string) (user string, claims map[string]any, err error) {
	if strings.Count(token, ".") == 2 { // access tokens have no dot
		return l.verifyOpenID(ctx, facebook, facebookIssuer, clients, token)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	base := l.endpoint(facebook, "https://"+facebook)
	app, err := l.graph(ctx, base+"/app", url.Values{"access_token": {token}})
	if err != nil {
		return "", nil, err
	}
	if app == "" || !slices.Contains(clients, app) {
		return "", nil, unsupported()
	}
	user, err = l.graph(ctx, base+"/me", url.Values{"access_token": {token}, "fields": {"id"}})
	return user, map[string]any{"aud": app, "sub": user, "user_id": user}, err
}

// graph asks Facebook's Graph API for the id of a thing.
func (l *Logins) graph(ctx context.Context, address string, query url.Values) (string, error) {
	status, body, err := l.present(ctx, address, query)
	if err != nil {
		return "", err
	}
	var answer struct {
		ID    string `json:"id"`
		Error struct {
			Code      int64 `json:"code"`
			Transient bool  `json:"is_transient"`
		} `json:"error"`
	}
	err = json.Unmarshal(body, &answer)
	switch {
	case status == http.StatusOK && err == nil:
		return answer.ID, nil
	case status == http.StatusOK:
		return "", nonsense(err)
	// Rate limits and outages come with 400 and 403 as well.
	case err == nil && (answer.Error.Transient || slices.Contains([]int64{1, 2, 4, 17, 341}, answer.Error.Code)):
		return "", badStatus(status)
	}
	return "", rejected(status)
}

// verifyAmazon checks an access token of Login with Amazon, as its developer
// guide says, by what Amazon tells of it. A pool may name the app by its client
// id or, as in AWS's console, by its app id.
func (l *Logins) verifyAmazon(ctx context.Context, clients []string, token string) (user string, claims map[string]any, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	base := l.endpoint(amazon, "https://api.amazon.com")
	status, body, err := l.present(ctx, base+"/auth/o2/tokeninfo", url.Values{"access_token": {token}})
	if err != nil {
		return "", nil, err
	}
	if status != http.StatusOK {
		return "", nil, rejected(status)
	}
	if err := decode(body, &claims); err != nil {
		return "", nil, err
	}
	aud, _ := claims["aud"].(string)
	app, _ := claims["app_id"].(string)
	user, _ = claims["user_id"].(string)
	left, _ := claims["exp"].(float64) // seconds
	if !slices.Contains(clients, aud) && !slices.Contains(clients, app) {
		return "", nil, unsupported()
	}
	if left < 1 {
		return "", nil, expired(l.now(), l.now().Add(time.Duration(left)*time.Second))
	}
	claims["sub"] = user
	return user, claims, nil
}

// rejected is the error of an answer that is not 200: the token's fault if the
// provider says so.
func rejected(status int) error {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return badToken("The provider does not accept it.")
	}
	return badStatus(status)
}
