package lambda

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	rheo "github.com/rheostream/rheo/internal/api"
)

// A functionID names a function: everything of it is inside an account and a region.
type functionID struct{ account, region, name string }

func (f functionID) key() string { return functionPrefix + f.account + "/" + f.region + "/" + f.name }

// arn is the function's ARN, without a qualifier.
func (f functionID) arn() string {
	return "arn:aws:lambda:" + f.region + ":" + f.account + ":function:" + f.name
}

// qualified is the ARN with a qualifier, or without if that is empty.
func (f functionID) qualified(qualifier string) string {
	if qualifier == "" {
		return f.arn()
	}
	return f.arn() + ":" + qualifier
}

// A reference is what FunctionName and Qualifier of a request come to.
type reference struct {
	functionID
	qualifier string // version, alias or $LATEST; empty if none was given
}

func (r reference) arn() string { return r.qualified(r.qualifier) }

func (r reference) missing() *rheo.Error { return notFound("Function not found: %s", r.arn()) }

const latest = "$LATEST"

// The forms that a function's name comes in: a name (my-function), an ARN, and a
// partial ARN (123456789012:function:my-function), each with a qualifier or without.
var nameForm = regexp.MustCompile(`^(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?(?:((?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9_-]+)(?::(\$LATEST|[a-zA-Z0-9_-]+))?$`)

// resolve reads a FunctionName, and the Qualifier beside it.
func resolve(ctx context.Context, name string, qualifier *string) (reference, error) {
	caller := rheo.CallerFrom(ctx)
	m := nameForm.FindStringSubmatch(name)
	if m == nil {
		return reference{}, invalid("The function name %s is not in a form that Lambda has for functions.", name)
	}
	region, account := m[1], m[2]
	r := reference{functionID{caller.Account, caller.Region, m[3]}, m[4]}
	switch {
	case region != "" && region != caller.Region:
		return r, notFound("Functions from '%s' are not reachable in this region ('%s')", region, caller.Region)
	case account != "" && account != caller.Account:
		e := rheo.Errorf("AccessDeniedException", "User: %s is not authorized to access the function %s of another account", caller.Principal, name)
		e.Status = http.StatusForbidden
		return r, e
	case len(r.name) > 64:
		return r, invalid("1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64", r.name)
	}
	if qualifier != nil {
		if r.qualifier != "" && r.qualifier != *qualifier {
			return r, invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		r.qualifier = *qualifier
	}
	return r, nil
}

// resolvePlain is resolve for operations on a function as a whole: a qualifier in
// the name is left out.
func resolvePlain(ctx context.Context, name string) (functionID, error) {
	r, err := resolve(ctx, name, nil)
	return r.functionID, err
}

// isVersion says whether a qualifier is a version's number.
func isVersion(qualifier string) bool {
	return qualifier != "" && strings.Trim(qualifier, "0123456789") == ""
}

// isAlias says whether a qualifier can only be an alias.
func isAlias(qualifier string) bool {
	return qualifier != "" && qualifier != latest && !isVersion(qualifier) && !strings.Contains(qualifier, "$")
}
