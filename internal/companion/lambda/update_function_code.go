package lambda

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// UpdateFunctionCode gives $LATEST another package. With DryRun it only checks.
func (s *Service) UpdateFunctionCode(ctx context.Context, in *api.UpdateFunctionCodeInput) (*api.UpdateFunctionCodeOutput, error) {
	id, err := resolvePlain(ctx, *in.FunctionName)
	if err != nil {
		return nil, err
	}
	for _, m := range []struct {
		given       bool
		member, why string
	}{
		{in.SourceKMSKeyArn != nil && *in.SourceKMSKeyArn != "", "SourceKMSKeyArn", "packages are encrypted with the server's key"},
		{in.S3ObjectStorageMode == "REFERENCE", "S3ObjectStorageMode REFERENCE", "packages are copied"},
		{in.PublishTo != "", "PublishTo", "there are no managed instances"},
	} {
		if m.given {
			return nil, unsupported(m.member, m.why)
		}
	}
	if in.ImageUri != nil {
		return nil, invalid("Please don't provide ImageUri when updating a function with packageType Zip.")
	}
	if err := checkArchitecture(in.Architectures); err != nil {
		return nil, err
	}
	ref := reference{functionID: id}
	f, _, err := s.get(ref) // before the package is read and kept
	if err != nil {
		return nil, err
	}
	if err := s.checkUpdate(f, in.RevisionId); err != nil {
		return nil, err
	}
	zip, release, err := s.fetch(ctx, codeSource{in.ZipFile, in.S3Bucket, in.S3Key, in.S3ObjectVersion})
	if err != nil {
		return nil, err
	}
	defer release()
	if in.DryRun != nil && *in.DryRun {
		return s.describe(f, &f.Latest, "", false)
	}
	if err := s.checkCodeStorage(id, int64(len(zip))); err != nil {
		return nil, err
	}
	code, err := s.putCode(ctx, &f.functionDoc, zip)
	if err != nil {
		return nil, err
	}
	var had codeDoc
	out, err := s.updateLatest(ctx, ref, in.RevisionId, in.Publish != nil && *in.Publish, func(f *function, v *versionDoc) error {
		had = v.Code
		if v.Code.SHA256 != code.SHA256 {
			f.Edit++
		}
		v.Code = code
		return nil
	})
	s.dropCode(ctx, id, []codeDoc{had, code}) // whichever nobody has
	return out, err
}

// updateLatest changes $LATEST, and publishes it if that is asked for.
func (s *Service) updateLatest(ctx context.Context, ref reference, revision *string, publish bool, alter func(*function, *versionDoc) error) (out *api.FunctionConfiguration, err error) {
	err = s.update(ctx, ref, func(f *function) (*change, error) {
		if err := s.checkUpdate(f, revision); err != nil {
			return nil, err
		}
		if err := alter(f, &f.Latest); err != nil {
			return nil, err
		}
		now := s.nowMillis()
		f.Latest.Revision, f.Latest.Modified = newUUID(), now
		f.Latest.Due, f.Latest.Updated = now+s.cfg.Transition.Milliseconds(), true
		ch, answer, qualifier := &change{}, &f.Latest, ""
		if publish {
			answer = f.publish(ch, now, nil)
			qualifier = answer.qualifier()
		}
		out, err = s.describe(f, answer, qualifier, false)
		return ch, err
	})
	if err != nil {
		return nil, err
	}
	s.retire(ref.functionID, latest)
	begin(out, true)
	return out, nil
}

// checkUpdate: a function is changed by one call after the other, of those that
// know what they change if they say so.
func (s *Service) checkUpdate(f *function, revision *string) error {
	if revision != nil && *revision != f.Latest.Revision {
		return wrongRevision("GetFunction/GetAlias")
	}
	if s.nowMillis() >= f.Latest.Due {
		return nil
	}
	if !f.Latest.Updated {
		return conflict("The operation cannot be performed at this time. The function is currently in the following state: Pending")
	}
	return conflict("The operation cannot be performed at this time. An update is in progress for resource: %s", f.id().arn())
}
