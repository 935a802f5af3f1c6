module github.com/weir-analytics/weir

go 1.26
