module github.com/rheostream/rheo

go 1.26.0

require golang.org/x/sys v0.50.0

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7 // indirect
	github.com/aws/smithy-go v1.28.8 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
)
