"""Coupon codes: pools, codes given to customers, and redemptions."""
