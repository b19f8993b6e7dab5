package lambda

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"

	api "github.com/rheostream/rheo/internal/api/lambda"
	"github.com/rheostream/rheo/internal/catalog"
)

// CreateFunction makes a function of a zip: first its code is durable, then its
// document. A crash in between leaves a blob, which a later start removes. The
// answer says Pending, as Lambda's does; the next GetFunction finds it Active.
func (s *Service) CreateFunction(ctx context.Context, in *api.CreateFunctionInput) (*api.CreateFunctionOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, nil)
	if err != nil {
		return nil, err
	}
	if err := s.checkCreate(in); err != nil {
		return nil, err
	}
	now := s.nowMillis()
	doc := functionDoc{ID: newUUID(), Account: ref.account, Region: ref.region, Name: ref.name, Created: now, Tags: maps.Clone(in.Tags),
		Latest: versionDoc{Revision: newUUID(), Modified: now, Due: now + s.cfg.Transition.Milliseconds(),
			Timeout: timeoutDefault, Memory: memoryDefault, Storage: storageDefault}}
	if err := s.apply(ofCreate(in), &doc.Latest); err != nil {
		return nil, err
	}
	if f, err := s.find(ref.functionID); f != nil || err != nil { // before the package is kept
		return nil, orErr(err, alreadyExists(ref))
	}
	code := in.Code
	zip, release, err := s.fetch(ctx, codeSource{code.ZipFile, code.S3Bucket, code.S3Key, code.S3ObjectVersion})
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.checkCodeStorage(ref.functionID, int64(len(zip))); err != nil {
		return nil, err
	}
	if doc.Latest.Code, err = s.putCode(ctx, &doc, zip); err != nil {
		return nil, err
	}
	f := &function{functionDoc: doc, docs: s.docs}
	ch := &change{}
	ch.expects(ref.key(), 0)
	answer := &f.Latest
	if in.Publish != nil && *in.Publish {
		answer = f.publish(ch, s.nowMillis(), nil)
	}
	ch.put(ref.key(), &f.functionDoc)
	if err := s.commit(ctx, ch); err != nil {
		s.dropCode(ctx, ref.functionID, []codeDoc{doc.Latest.Code})
		if errors.Is(err, catalog.ErrConflict) {
			return nil, alreadyExists(ref)
		}
		return nil, err
	}
	out, err := s.describe(f, answer, "", false)
	if err != nil {
		return nil, err
	}
	begin(out, false)
	return out, nil
}

func (s *Service) checkCreate(in *api.CreateFunctionInput) error {
	for _, m := range []struct {
		given       bool
		member, why string
	}{
		{in.PackageType == api.PackageTypeImage || in.Code.ImageUri != nil, "PackageType Image", "functions are zip packages"},
		{in.CodeSigningConfigArn != nil && *in.CodeSigningConfigArn != "", "CodeSigningConfigArn", "code is not signed"},
		{in.Code.SourceKMSKeyArn != nil && *in.Code.SourceKMSKeyArn != "", "Code.SourceKMSKeyArn", "packages are encrypted with the server's key"},
		{in.Code.S3ObjectStorageMode == "REFERENCE", "Code.S3ObjectStorageMode REFERENCE", "packages are copied"},
		{in.PublishTo != "", "PublishTo", "there are no managed instances"},
		{in.TenancyConfig != nil, "TenancyConfig", "there are no tenants"},
	} {
		if m.given {
			return unsupported(m.member, m.why)
		}
	}
	if err := checkArchitecture(in.Architectures); err != nil {
		return err
	}
	return checkTags(in.Tags)
}

// checkCodeStorage holds an account to AWS's limit on all its packages in a region.
func (s *Service) checkCodeStorage(id functionID, more int64) error {
	used, _, err := s.usage(id.account, id.region)
	if err == nil && used+more > codeBytesMax {
		err = user("CodeStorageExceededException", "Code storage limit exceeded.")
	}
	return err
}

func alreadyExists(ref reference) error { return conflict("Function already exist: %s", ref.name) }

// orErr is err, or other if that is nil.
func orErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// newUUID draws a UUID of version 4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
