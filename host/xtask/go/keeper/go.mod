module tidegate.dev/cluster/keeper

go 1.26.0
