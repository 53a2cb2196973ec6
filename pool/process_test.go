package pool_test

const childVar = "SQLITEMW_POOL_TEST_CHILD"

func runChild(string) int { return 1 }
