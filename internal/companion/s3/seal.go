package s3

// What is sealed, by the purpose that its Sealer is told. Those of objects have the
// blob's name and the frame's number behind them.
const (
	sealCommand  = "s3/command"
	sealSnapshot = "s3/snapshot"
	sealObject   = "s3/object"
)
