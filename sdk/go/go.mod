module github.com/weir-analytics/weir/sdk/go

go 1.25.0
