// Package sts is the part of AWS Security Token Service that clients of Kinesis
// need: who am I. Roles to assume come with access control.
//
//	GetCallerIdentity
package sts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/sts"
)

// Service serves the operations. Its zero value is ready.
type Service struct{}

// Subset is what callers of other operations are told.
func (Service) Subset() string {
	return "rheo serves GetCallerIdentity alone of STS; roles cannot be assumed yet"
}

// GetCallerIdentity tells the account, the ARN and the unique id of the principal
// that signed the request. Whoever can sign may ask.
func (Service) GetCallerIdentity(ctx context.Context, _ *api.GetCallerIdentityInput) (*api.GetCallerIdentityOutput, error) {
	caller := rheo.CallerFrom(ctx)
	return &api.GetCallerIdentityOutput{
		Account: &caller.Account,
		Arn:     &caller.Principal,
		UserId:  new(userID(caller)),
	}, nil
}

// userID is the unique id of a principal: that of an account's root is the account,
// those of others are made of the ARN, so that they stay as they are.
func userID(caller *rheo.Caller) string {
	_, resource, _ := strings.Cut(caller.Principal, ":"+caller.Account+":")
	if resource == "root" {
		return caller.Account
	}
	sum := sha256.Sum256([]byte(caller.Principal))
	return "AIDA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}
