package access

// User is what a user token proves beside a public key: that whoever sends the request was told by a holder of a secret
// key who they are. The zero User is none.
type User struct {
	Shown       bool // there was something that should be a user token
	Good        bool // it is genuine, has not expired, and the key that made it stands as it was
	Project     string
	Environment string
	DistinctID  string
	View        *View // what the key that made it sees: the user sees no more
}

// self reports whether a key does what a public key may do for the user whose token comes with it, and for nobody else.
func self(k *Key, a *Attempt) bool { return k.Kind == Public && a.Action.row().own }

// A public key is everybody's. What it may not do for everybody, it may for a user who proves who they are.
func userProven(k *Key, a *Attempt) Reason {
	switch {
	case !self(k, a):
		return Allowed
	case !a.User.Shown:
		return UserTokenMissing
	case !a.User.Good || a.User.Project != k.Project.ID:
		return UserTokenWrong
	}
	return Allowed
}

// A user token is for one person in one environment, which the request must name: the key's first one may become another.
func userIsOneself(k *Key, a *Attempt, t *Target) Reason {
	if !self(k, a) {
		return Allowed
	}
	if t.User == "" || t.User != a.User.DistinctID || t.Environment == "" || t.Environment != a.User.Environment {
		return UserTokenOther
	}
	return Allowed
}
