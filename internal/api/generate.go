package api

// The models are botocore's without their prose (models/NOTICE); refresh them
// with `go run ./internal/api/gen/refresh internal/api/models`, then generate.

//go:generate go run ./gen -package kinesis models/kinesis/2013-12-02/service-2.json
//go:generate go run ./gen -package dynamodb models/dynamodb/2012-08-10/service-2.json
//go:generate go run ./gen -package cloudwatch models/cloudwatch/2010-08-01/service-2.json
//go:generate go run ./gen -package sts models/sts/2011-06-15/service-2.json
//go:generate go run ./gen -package logs models/logs/2014-03-28/service-2.json
//go:generate go run ./gen -package lambda models/lambda/2015-03-31/service-2.json
