package lambda

import (
	"context"

	api "github.com/rheostream/rheo/internal/api/lambda"
)

// DeleteFunction deletes a function with its versions, aliases and policies, or
// one version that no alias points to. Mappings stay, as in Lambda: they find no
// function. It takes no time: invocations under way come to their end.
func (s *Service) DeleteFunction(ctx context.Context, in *api.DeleteFunctionInput) (*api.DeleteFunctionOutput, error) {
	ref, err := resolve(ctx, *in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	switch {
	case isAlias(ref.qualifier):
		return nil, invalid("Deletion of aliases is not currently supported.")
	case ref.qualifier == latest:
		return nil, invalid("$LATEST version cannot be deleted without deleting the function.")
	}
	plain := reference{functionID: ref.functionID} // what is told not to be there
	var had []codeDoc
	err = s.update(ctx, plain, func(f *function) (*change, error) {
		versions, err := f.versions()
		if err != nil {
			return nil, err
		}
		had = had[:0]
		if ref.qualifier != "" {
			return f.deleteVersion(ref.qualifier, versions, &had)
		}
		had = append(had, f.Latest.Code)
		for _, v := range versions {
			had = append(had, v.Code)
		}
		ch := &change{remove: f.parts()}
		ch.put(f.id().key(), nil)
		return ch, nil
	})
	if err != nil {
		return nil, err
	}
	s.retire(ref.functionID, ref.qualifier)
	s.dropCode(ctx, ref.functionID, had)
	return &api.DeleteFunctionOutput{StatusCode: new(int32(204))}, nil
}

// deleteVersion deletes a published version. One that is not there is no error, as in Lambda.
func (f *function) deleteVersion(qualifier string, versions []versionDoc, had *[]codeDoc) (*change, error) {
	aliases, err := list[aliasDoc](f.docs, aliasPrefix+f.ID+"/")
	if err != nil {
		return nil, err
	}
	for _, a := range aliases {
		if a.Version == qualifier || a.Other == qualifier {
			return nil, conflict("Version %s of function %s is referenced by the alias %s. Point the alias to another version, or delete it, first.", qualifier, f.id().arn(), a.Name)
		}
	}
	for i := range versions {
		if versions[i].qualifier() != qualifier {
			continue
		}
		*had = append(*had, versions[i].Code)
		ch := &change{}
		ch.put(f.versionKey(versions[i].Number), nil)
		for _, key := range []string{f.policyKey(qualifier), f.invokeKey(qualifier)} {
			ch.put(key, nil)
		}
		if f.Published == versions[i].Number {
			f.PublishedEdit = -1 // what it was made of can be published again
		}
		return ch, nil
	}
	return nil, nil
}
