package compat

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-analytics/weir/internal/problem"
)

// The names by which clients of Altertable's lakehouse call a catalog or a schema when they mean the one that there is.
func lakehouseDefaults() []string { return []string{"", "default", "main", "memory", "CORE"} }

// LakehouseSpace is the environment that a catalog and a schema name; empty: the key's default. An environment has no parts, so only
// one of the two can name it, or both the same. before stands before the names of the members in a problem, and there reports whether the
// project has an environment of a name: then the usual names mean that one.
//
// Problems: invalid_field.
func LakehouseSpace(before, catalog, schema string, there func(name string) bool) (string, error) {
	for _, name := range []*string{&catalog, &schema} {
		if slices.Contains(lakehouseDefaults(), *name) && (*name == "" || !there(*name)) {
			*name = ""
		}
	}
	switch {
	case schema == "" || schema == catalog:
		return catalog, nil
	case catalog == "":
		return schema, nil
	}
	return "", problem.Invalid(before+"schema", "must be main, or left out: the catalog is an environment, which has no schemas")
}

// LakehouseStatus is the status of a problem for clients of the lakehouse, which take 400 for what is wrong with what they sent.
func LakehouseStatus(code problem.Code) int {
	if status := code.Row().Status; status != http.StatusUnprocessableEntity {
		return status
	}
	return http.StatusBadRequest
}

// The codes of the lakehouse for rows that are not taken.
const (
	LakehouseBadData   = "invalid-data"
	LakehouseBadSchema = "incompatible-schema"
)

// LakehouseCode is the name of a problem for clients of the lakehouse.
func LakehouseCode(code problem.Code) string {
	switch code {
	case problem.InvalidJSON, problem.InvalidRequest, problem.InvalidField:
		return LakehouseBadData
	default:
		return strings.ReplaceAll(string(code), "_", "-")
	}
}

// LakehouseProblem is a problem with a statement, about the member in which these clients send it.
func LakehouseProblem(err error) error {
	p := problem.From(err)
	if len(p.Fields) == 0 || p.Fields[0].Name != "sql" {
		return err
	}
	told := *p
	told.Fields = slices.Clone(p.Fields)
	told.Fields[0].Name = "statement"
	if rest, named := strings.CutPrefix(p.Detail, "sql: "); named {
		told.Detail = "statement: " + rest
	}
	return &told
}

// LakehouseQueryID is the name of a query that its sender gave none: a UUID, since clients read no others.
func LakehouseQueryID(requestID string) string {
	sum := sha256.Sum256([]byte("query\x00" + requestID))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8 of RFC 9562
	text := hex.EncodeToString(sum[:16])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// LakehouseRunID is the name in the history of a query that was asked under a name of its sender's own: what one owner calls by a
// name is not what another does.
func LakehouseRunID(owner, name string) string {
	sum := sha256.Sum256([]byte("run\x00" + owner + "\x00" + name))
	return "qry_" + hex.EncodeToString(sum[:16])
}
