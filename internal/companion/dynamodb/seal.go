package dynamodb

// What is sealed, by the purpose that its Sealer is told.
const (
	sealCommand  = "dynamodb/command"
	sealSnapshot = "dynamodb/snapshot"
)
