// Package metric owns what a named metric is and how it becomes one SQL statement: a Definition is read strictly,
// checked whole, and compiled to a statement with numbered parameters, whose values are bound and never pasted.
//
//	JSON -> Read -> Definition -> Compile -> Statement -> Bind(values, now) -> values for $1, $2, …
//
// A definition is either SQL with declared variables, or one of the forms trend, funnel, retention, top and path, which
// compile to SQL that people can read. The statements use the columns of events and persons that every query sees, and
// only what the sandbox of the warehouse lets through.
//
// The package is pure: no clock, no store, no HTTP, no engine. It does not own where definitions are kept, who may see
// or run them, nor running them (package query).
//
// Problems: invalid_json (a definition that is no JSON), invalid_field.
package metric

// The limits on a definition.
const (
	MaxText       = 256 << 10 // bytes of a definition as JSON
	MaxSQL        = 64 << 10  // bytes of SQL, as written and as compiled
	MaxVariables  = 32        // declared
	MaxConditions = 64        // in all filters of a definition
	MaxDepth      = 4         // of 'any' and 'all' inside one another
	MaxValues     = 100       // of one condition
	MaxLiterals   = 500       // values in all filters of a definition
	MinSteps      = 2         // of a funnel
	MaxSteps      = 10        // of a funnel; of a path, besides its start
	MaxBreakdowns = 2         // fields that lines are parted by
	MaxLines      = 50        // lines of a breakdown, besides the one for all others
	MaxRows       = 1000      // rows of a top and of a path
	MaxPeriods    = 60        // periods of a retention, after the first
)

// The limits on names and texts in a definition, in bytes.
const (
	maxEvent       = 256 // as of the events that are taken in
	maxName        = 64
	maxProperty    = 512
	maxSegments    = 8 // keys on the way to a property
	maxLiteral     = 4 << 10
	maxDescription = 1000
)

// Definition is what a metric asks: exactly one of SQL, Trend, Funnel, Retention, Top and Path.
type Definition struct {
	SQL       string     `json:"sql,omitzero" minLength:"1" maxLength:"65536" doc:"One read-only SELECT, at most 64 KiB. @{name} stands for the value of a variable, also as '@{name}'; it is bound and never pasted." example:"SELECT count(*) AS n FROM events WHERE event = @{event}"`
	Trend     *Trend     `json:"trend,omitzero" nullable:"false" doc:"A measure over time."`
	Funnel    *Funnel    `json:"funnel,omitzero" nullable:"false" doc:"How many people go how far through steps."`
	Retention *Retention `json:"retention,omitzero" nullable:"false" doc:"How many people come back, period after period."`
	Top       *Top       `json:"top,omitzero" nullable:"false" doc:"The values of a field by a measure."`
	Path      *Path      `json:"path,omitzero" nullable:"false" doc:"What people do after an event."`
	TimeZone  string     `json:"time_zone,omitzero" minLength:"1" maxLength:"64" doc:"The IANA time zone in which days begin; UTC by default." example:"Europe/Paris"`
	Variables []Variable `json:"variables,omitempty" maxItems:"32" doc:"What the caller gives when the metric is run. The forms other than sql also have the variables from and to."`
}

// Trend is a measure over time: one line, or with a breakdown one for each of the commonest values and one for all
// others. Its columns are time, breakdown_1, breakdown_2, other and value; a period in which nothing happened has a row.
type Trend struct {
	Event     string   `json:"event,omitzero" minLength:"1" maxLength:"256" doc:"The events it counts; by default all." example:"Order Completed"`
	Measure   Measure  `json:"measure,omitzero" doc:"By default the number of events."`
	Interval  Interval `json:"interval,omitzero" enum:"minute,hour,day,week,month" doc:"By default day. Weeks begin on Monday."`
	Breakdown []Field  `json:"breakdown,omitempty" maxItems:"2" doc:"The fields that it is parted by."`
	Limit     int      `json:"limit,omitzero" minimum:"1" maximum:"50" doc:"How many values, or pairs of values, of the breakdown have lines of their own; by default 10."`
	Filters   []Filter `json:"filters,omitempty" maxItems:"64" doc:"All must hold."`
}

// Funnel is how many people go how far through steps, in order and within a window. Its columns are breakdown_1,
// breakdown_2, other, step, event, people, conversion, step_conversion and median_seconds.
type Funnel struct {
	Steps     []Step   `json:"steps" minItems:"2" maxItems:"10" doc:"What people do, in order. They enter with the first step between from and to."`
	Window    Duration `json:"window,omitzero" minLength:"1" maxLength:"32" doc:"How long after the first step the last may come; by default 7 days." example:"7 days"`
	Breakdown []Field  `json:"breakdown,omitempty" maxItems:"2" doc:"The fields of the first step's event that it is parted by."`
	Limit     int      `json:"limit,omitzero" minimum:"1" maximum:"50" doc:"How many values, or pairs of values, of the breakdown have rows of their own; by default 10."`
	Filters   []Filter `json:"filters,omitempty" maxItems:"64" doc:"All must hold, for the events of every step."`
}

// Step is an event that people come by.
type Step struct {
	Event   string   `json:"event" minLength:"1" maxLength:"256" doc:"The event's name." example:"Order Completed"`
	Filters []Filter `json:"filters,omitempty" maxItems:"64" doc:"All must hold."`
}

// Retention is how many of the people who start in a period come back in it and in those after it. Its columns are
// cohort, people, period, returned, rate and complete.
type Retention struct {
	Start   Step     `json:"start" doc:"What people start with: the first such event between from and to decides about their cohort."`
	Return  Step     `json:"return" doc:"What coming back is."`
	Period  Interval `json:"period,omitzero" enum:"day,week,month" doc:"By default week. Weeks begin on Monday."`
	Periods int      `json:"periods,omitzero" minimum:"1" maximum:"60" doc:"How many periods after the first; by default 8."`
	Filters []Filter `json:"filters,omitempty" maxItems:"64" doc:"All must hold, for both events."`
}

// Top is the values of a field with the highest measure. Its columns are item and value.
type Top struct {
	Event   string   `json:"event,omitzero" minLength:"1" maxLength:"256" doc:"The events it counts; by default all."`
	By      Field    `json:"by" doc:"The field whose values are listed. Events without it are left out."`
	Measure Measure  `json:"measure,omitzero" doc:"By default the number of events."`
	Limit   int      `json:"limit,omitzero" minimum:"1" maximum:"1000" doc:"How many values; by default 10."`
	Filters []Filter `json:"filters,omitempty" maxItems:"64" doc:"All must hold."`
}

// Path is the commonest rows of events that follow a person's first event of a kind. Its columns are event_1 (the
// start), event_2 and so on, and people.
type Path struct {
	Start   Step     `json:"start" doc:"Where people begin: with their first such event between from and to."`
	Steps   int      `json:"steps,omitzero" minimum:"1" maximum:"10" doc:"How many events after the start; by default 3."`
	Window  Duration `json:"window,omitzero" minLength:"1" maxLength:"32" doc:"How long after the start they may come; by default 1 day." example:"30 minutes"`
	Limit   int      `json:"limit,omitzero" minimum:"1" maximum:"1000" doc:"How many paths; by default 20."`
	Filters []Filter `json:"filters,omitempty" maxItems:"64" doc:"All must hold: events that fail them are no part of a path."`
}

// Interval is a length of time on the calendar.
type Interval string

// The intervals.
const (
	Minute Interval = "minute"
	Hour   Interval = "hour"
	Day    Interval = "day"
	Week   Interval = "week"
	Month  Interval = "month"
)

// Measure is what is counted or computed of some events.
type Measure struct {
	Type     string  `json:"type" enum:"count,people,sum,avg,min,max,median,quantile" doc:"The number of events, of unique people, or a figure of the property's numbers."`
	Property string  `json:"property,omitzero" minLength:"1" maxLength:"512" doc:"The property whose numbers are meant; not for count and people. Values that are no numbers are left out." example:"price"`
	Quantile float64 `json:"quantile,omitzero" minimum:"0" maximum:"1" doc:"For quantile: which one, more than 0 and less than 1." example:"0.95"`
}

// Column is a column of an answer, as the statement makes it. Type is the engine's name for it.
type Column struct {
	Name string `json:"name" doc:"The column's name." example:"value"`
	Type string `json:"type" doc:"The engine's type." example:"BIGINT"`
}
