package main

// withShares fills in how many queries of one project and of one key may run at once, where the settings do not say it.
// A project that is alone may have every place; else a quarter is left to the others. A key may have half, so that there
// is always another place for another key.
func (c config) withShares(projects int) config {
	all := c.QueryConcurrency
	if c.QueryPerProject == 0 {
		c.QueryPerProject = all
		if projects > 1 && all > 2 {
			c.QueryPerProject = all * 3 / 4
		}
	}
	if c.QueryPerKey == 0 {
		c.QueryPerKey = (all + 1) / 2
	}
	return c
}
