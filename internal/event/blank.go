package event

// Blank gives what takes the place of an encoded event of a space in the journal when it is erased there: an event that says
// nothing, and holds nothing of what was sent. It is nil for the events of other spaces, and for what is blank already.
func Blank(data []byte, of Space) []byte {
	project, environment, ok := spaceOf(data)
	if !ok || string(project) != of.Project || string(environment) != of.Environment {
		return nil
	}
	e, err := DecodeEvent(data)
	if err != nil || e.Kind == Forget && e.DistinctID == "" {
		return nil
	}
	return AppendEvent(nil, &Event{Kind: Forget, Project: of.Project, Environment: of.Environment, Timestamp: e.ReceivedAt, ReceivedAt: e.ReceivedAt})
}
