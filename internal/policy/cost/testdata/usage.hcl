usage "*aws_lambda_function.api" {
  monthly_requests = 3000000
  duration_ms      = 200
}
usage "aws_instance.web[1]" {
  hours = 100
}
usage "module.net.*" {
  monthly_gb = 1234.5
}
