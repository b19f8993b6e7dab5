package sts

import (
	"net/http"
	"testing"

	rheo "github.com/rheostream/rheo/internal/api"
	api "github.com/rheostream/rheo/internal/api/sts"
	"github.com/rheostream/rheo/internal/wire"
)

// TestGetCallerIdentity: a root is its account, others have an id of their own;
// the answer is the XML that SDKs read.
func TestGetCallerIdentity(t *testing.T) {
	op := api.Service.Op("GetCallerIdentity")
	for _, tt := range []struct{ principal, want string }{
		{"arn:aws:iam::123456789012:root", "<UserId>123456789012</UserId><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:root</Arn>"},
		{"arn:aws:iam::123456789012:user/kpl", "<UserId>AIDAA34C5MFRMAIITOY67</UserId><Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/kpl</Arn>"},
	} {
		r, err := http.NewRequest("POST", "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		in := op.NewInput()
		if err := (wire.Query{}).Decode(op, r, []byte("Action=GetCallerIdentity&Version=2011-06-15"), in); err != nil {
			t.Fatal(err)
		}
		ctx := rheo.WithCaller(t.Context(), &rheo.Caller{Account: "123456789012", Region: "us-east-1", Principal: tt.principal})
		out, err := op.Invoke(ctx, Service{}, in)
		if err != nil {
			t.Fatal(err)
		}
		a, err := wire.Query{}.Encode(nil, op, out)
		want := `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` + tt.want + `</GetCallerIdentityResult></GetCallerIdentityResponse>`
		if err != nil || string(a.Body) != want {
			t.Errorf("%s: %s, %v", tt.principal, a.Body, err)
		}
	}
}
