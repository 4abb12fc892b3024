module tributary

go 1.26.0
