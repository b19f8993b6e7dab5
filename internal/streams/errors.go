package streams

import "github.com/rheostream/rheo/internal/api"

// The errors of Data Streams, in AWS's words where a public source shows them.

func invalidArgument(format string, args ...any) *api.Error {
	return api.Errorf("InvalidArgumentException", format, args...)
}

func notFound(format string, args ...any) *api.Error {
	return api.Errorf("ResourceNotFoundException", format, args...)
}

func inUse(format string, args ...any) *api.Error {
	return api.Errorf("ResourceInUseException", format, args...)
}

func limitExceeded(format string, args ...any) *api.Error {
	return api.Errorf("LimitExceededException", format, args...)
}

func validation(format string, args ...any) *api.Error {
	return api.Errorf("ValidationException", format, args...)
}

func throughputExceeded(format string, args ...any) *api.Error {
	return api.Errorf("ProvisionedThroughputExceededException", format, args...)
}

func streamNotFound(account, name string) *api.Error {
	return notFound("Stream %s under account %s not found.", name, account)
}

func shardNotFound(st *stream, id string) *api.Error {
	return notFound("Could not find shard %s in stream %s under account %s.", id, st.name.name, st.name.account)
}

func shardMissing(st *stream, id string) *api.Error {
	return notFound("Shard %s in stream %s under account %s does not exist", id, st.name.name, st.name.account)
}

func notActive(d *streamDoc) *api.Error {
	return inUse("Stream %s under account %s not ACTIVE, instead in state %s", d.Name, d.Account, d.Status)
}

// dryRun is how AWS says that a call with DryRun set would have succeeded.
func dryRun() *api.Error {
	return api.Errorf("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}
