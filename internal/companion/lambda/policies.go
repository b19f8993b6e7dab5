package lambda

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// A function, and each of its versions and aliases, has a policy: what others may
// do with it. It is kept and shown, and decides nothing yet: whoever is
// authenticated may do everything in their account.

// policyBytesMax is how large a policy may be.
const policyBytesMax = 20480

// A statement of a policy, in the order in which Lambda has its members.
type statement struct {
	Sid       string
	Effect    string
	Principal any // "*", or who it is by kind
	Action    string
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

func (f *function) policy(qualifier string) (*policyDoc, error) {
	p := new(policyDoc)
	_, err := read(f.docs, f.policyKey(qualifier), p, nil)
	return p, err
}

// sid is a statement's id.
func sid(text json.RawMessage) string {
	var st struct{ Sid string }
	if json.Unmarshal(text, &st) != nil {
		return ""
	}
	return st.Sid
}

// revised gives what the policy belongs to another revision: a version or an alias.
func (f *function) revised(ch *change, qualifier string) error {
	if isAlias(qualifier) {
		a, err := f.alias(qualifier)
		if err != nil || a == nil {
			return err
		}
		a.Revision = newUUID()
		ch.put(f.aliasKey(qualifier), a)
		return nil
	}
	v, err := f.numbered(qualifier)
	if err != nil || v == nil {
		return err
	}
	v.Revision = newUUID() // of $LATEST in f itself, which is written anyway
	if v.Number > 0 {
		ch.put(f.versionKey(v.Number), v)
	}
	return nil
}

// revision is that of what a qualifier means; empty if it is not there.
func (f *function) revision(qualifier string) (string, error) {
	if isAlias(qualifier) {
		a, err := f.alias(qualifier)
		if err != nil || a == nil {
			return "", err
		}
		return a.Revision, nil
	}
	v, err := f.numbered(qualifier)
	if err != nil || v == nil {
		return "", err
	}
	return v.Revision, nil
}

// AddPermission adds a statement to a policy.
func (s *Service) AddPermission(ctx context.Context, in *api.AddPermissionInput) (*api.AddPermissionOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if ref.qualifier == latest {
		return nil, invalid("We currently do not support adding policies for $LATEST.")
	}
	st, err := makeStatement(ref, in)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	err = s.update(ctx, reference{functionID: ref.functionID}, func(f *function) (*change, error) {
		revision, err := f.revision(ref.qualifier)
		if err != nil {
			return nil, err
		}
		switch {
		case revision == "" && isAlias(ref.qualifier):
			return nil, notFound("Cannot find alias arn: %s", ref.arn())
		case revision == "":
			return nil, ref.missing()
		case in.RevisionId != nil && *in.RevisionId != revision:
			return nil, wrongRevision("GetPolicy")
		}
		p, err := f.policy(ref.qualifier)
		if err != nil {
			return nil, err
		}
		bytes := len(text)
		for _, have := range p.Statements {
			if sid(have) == *in.StatementId {
				return nil, conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", *in.StatementId)
			}
			bytes += len(have)
		}
		if bytes > policyBytesMax {
			return nil, user("PolicyLengthExceededException", "The final policy size (%d) is bigger than the limit (%d).", bytes, policyBytesMax)
		}
		p.Statements = append(p.Statements, text)
		ch := &change{}
		ch.put(f.policyKey(ref.qualifier), p)
		return ch, f.revised(ch, ref.qualifier)
	})
	if err != nil {
		return nil, err
	}
	return &api.AddPermissionOutput{Statement: new(string(text))}, nil
}

func makeStatement(ref reference, in *api.AddPermissionInput) (*statement, error) {
	st := &statement{Sid: *in.StatementId, Effect: "Allow", Action: *in.Action, Resource: ref.arn()}
	switch p := *in.Principal; {
	case p == "*":
		st.Principal = p
	case strings.HasSuffix(p, ".amazonaws.com"):
		st.Principal = map[string]string{"Service": p}
	case len(p) == 12 && isVersion(p): // digits
		st.Principal = map[string]string{"AWS": "arn:aws:iam::" + p + ":root"}
	case strings.HasPrefix(p, "arn:aws") && strings.Contains(p, ":iam:"):
		st.Principal = map[string]string{"AWS": p}
	default:
		return nil, invalid("The provided principal was invalid. Please check the principal and try again.")
	}
	if in.FunctionUrlAuthType != "" && st.Action != "lambda:InvokeFunctionUrl" {
		return nil, invalid("FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action")
	}
	condition := func(operator, key string, value *string) {
		if value == nil || *value == "" {
			return
		}
		if st.Condition == nil {
			st.Condition = make(map[string]map[string]string)
		}
		if st.Condition[operator] == nil {
			st.Condition[operator] = make(map[string]string)
		}
		st.Condition[operator][key] = *value
	}
	condition("StringEquals", "lambda:FunctionUrlAuthType", new(string(in.FunctionUrlAuthType)))
	condition("StringEquals", "aws:PrincipalOrgID", in.PrincipalOrgID)
	condition("StringEquals", "AWS:SourceAccount", in.SourceAccount)
	condition("StringEquals", "lambda:EventSourceToken", in.EventSourceToken)
	condition("ArnLike", "AWS:SourceArn", in.SourceArn)
	if in.InvokedViaFunctionUrl != nil && *in.InvokedViaFunctionUrl {
		condition("Bool", "lambda:InvokedViaFunctionUrl", new("true"))
	}
	return st, nil
}

// RemovePermission takes a statement out of a policy.
func (s *Service) RemovePermission(ctx context.Context, in *api.RemovePermissionInput) (*api.RemovePermissionOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	if f, err := s.find(ref.functionID); err != nil || f == nil {
		return nil, orErr(err, notFound("No policy found for: %s", ref.arn()))
	}
	err = s.update(ctx, reference{functionID: ref.functionID}, func(f *function) (*change, error) {
		p, err := f.policy(ref.qualifier)
		if err != nil {
			return nil, err
		}
		if len(p.Statements) == 0 {
			return nil, notFound("No policy is associated with the given resource.")
		}
		if in.RevisionId != nil {
			if revision, err := f.revision(ref.qualifier); err != nil || revision != *in.RevisionId {
				return nil, orErr(err, wrongRevision("GetPolicy"))
			}
		}
		i := slices.IndexFunc(p.Statements, func(text json.RawMessage) bool { return sid(text) == *in.StatementId })
		if i < 0 {
			return nil, notFound("Statement %s is not found in resource policy.", *in.StatementId)
		}
		p.Statements = slices.Delete(p.Statements, i, i+1)
		ch := &change{}
		if len(p.Statements) == 0 {
			ch.put(f.policyKey(ref.qualifier), nil)
		} else {
			ch.put(f.policyKey(ref.qualifier), p)
		}
		return ch, f.revised(ch, ref.qualifier)
	})
	if err != nil {
		return nil, err
	}
	return &api.RemovePermissionOutput{}, nil
}

// GetPolicy shows a policy as a document.
func (s *Service) GetPolicy(ctx context.Context, in *api.GetPolicyInput) (*api.GetPolicyOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	f, err := s.find(ref.functionID)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, ref.missing()
	}
	revision, err := f.revision(ref.qualifier)
	if err != nil {
		return nil, err
	}
	p, err := f.policy(ref.qualifier)
	if err != nil {
		return nil, err
	}
	if revision == "" || len(p.Statements) == 0 {
		return nil, notFound("The resource you requested does not exist.")
	}
	text, err := json.Marshal(struct {
		Version   string
		ID        string `json:"Id"`
		Statement []json.RawMessage
	}{"2012-10-17", "default", p.Statements})
	if err != nil {
		return nil, err
	}
	return &api.GetPolicyOutput{Policy: new(string(text)), RevisionId: &revision}, nil
}
